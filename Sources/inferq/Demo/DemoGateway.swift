import Foundation
import Glibc
import Synchronization

/// The gateway of a demo: a process of its own that is started again whenever it is killed, behind a socket that stays,
/// as systemd would have it.
final class DemoGateway: Sendable {
    private let folder: DemoFolder
    private let socket: CInt
    private let current = Mutex<pid_t?>(nil)
    /// What dies sooner, and so many times in a row, dies of something that no start mends.
    private static let shortLife = Duration.seconds(1)
    private static let mostShortLives = 3
    let url: String

    /// Listens on a free port of this host; nothing runs yet.
    ///
    /// - Throws: ``ClientError``.
    init(in folder: DemoFolder, modelServer: String) throws(ClientError) {
        self.folder = folder
        let socket = Glibc.socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = INADDR_LOOPBACK.bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isListening = withUnsafeMutablePointer(to: &address) { address in
            address.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(socket, address, size) == 0 && listen(socket, SOMAXCONN) == 0
                    && getsockname(socket, address, &size) == 0
            }
        }
        guard isListening else {
            let reason = String(cString: strerror(errno))
            throw ClientError(.host, "no port of 127.0.0.1 can be listened on (\(reason)); look at the host's limits")
        }
        self.socket = socket
        url = "http://127.0.0.1:\(UInt16(bigEndian: address.sin_port))"
        let settings = """
            [store]
            path = "\(folder.file("inferq.db"))"

            [models.demo]
            url = "\(modelServer)"
            dialect = "openai"
            concurrency = 4

            """
        guard FileManager.default.createFile(atPath: folder.file("inferq.toml"), contents: Data(settings.utf8)) else {
            throw .ofFile(folder.file("inferq.toml"), "created", "name another folder in TMPDIR")
        }
    }

    deinit { close(socket) }

    /// The process that runs now.
    var process: pid_t? { current.withLock { $0 } }

    /// Runs until the task is cancelled, when the process is killed.
    ///
    /// - Parameter restarted: is told of the signal that ended a process, and of the one that follows.
    /// - Throws: ``ClientError`` if a process ends by itself.
    func run(restarted: (_ signal: CInt, _ next: pid_t) -> Void) async throws {
        var signal: CInt?
        var shortLives = 0
        while !Task.isCancelled {
            let child = try await start()
            let begin = ContinuousClock.now
            current.withLock { $0 = child.id }
            if let signal { restarted(signal, child.id) }
            let ending = await child.ending()
            guard !Task.isCancelled else { return }
            shortLives = ContinuousClock.now - begin < Self.shortLife ? shortLives + 1 : 0
            guard case .killed(let by) = ending, shortLives < Self.mostShortLives else {
                let last = folder.lines(of: "gateway.log").last ?? "it printed nothing"
                throw ClientError(.host, "the gateway of the demo has ended: \(last)")
            }
            signal = by
        }
    }

    private func start() async throws -> ChildProcess {
        do {
            return try await DemoProgram.start(
                ["serve", "--config", folder.file("inferq.toml")], output: .nowhere,
                errors: .file(folder.file("gateway.log")), socket: socket)
        } catch let error as ChildProcess.Failure {
            throw ClientError(.host, "the gateway of the demo cannot be started (\(error.reason))")
        }
    }
}
