import Foundation
import TestSupport
import Testing

@testable import InferqRedis

#if canImport(Glibc)
    import Glibc
#endif

/// A redis-server of its own for one test, on a Unix socket, without a file; it ends with the object.
final class RedisServer: Sendable {
    /// Nil where there is none.
    static var program: String? {
        ["/usr/bin/redis-server", "/usr/local/bin/redis-server"].first {
            FileManager.default.isExecutableFile(atPath: $0)
        }
    }

    let socket: String
    private let folder: URL
    private let process: ChildProcess

    /// - Parameter options: more of its command line.
    init(_ options: [String] = []) throws {
        // As `inferq` does: a broken connection is an error of the call.
        Glibc.signal(SIGPIPE, SIG_IGN)
        folder = FileManager.default.temporaryDirectory.appending(path: "inferq-redis-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        socket = folder.appending(path: "redis.sock").path
        let program = try #require(Self.program)
        // No one is left behind, should the tests be killed.
        let guardian = "/usr/bin/setpriv"
        let isGuarded = FileManager.default.isExecutableFile(atPath: guardian)
        process = try ChildProcess(
            (isGuarded ? [guardian, "--pdeathsig", "KILL", program] : [program]) + [
                "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", folder.path,
            ] + options
        )
    }

    deinit {
        signal(SIGKILL)
        process.wait()
        // What is left in the folder for temporary files is no one's loss.
        try? FileManager.default.removeItem(at: folder)
    }

    func signal(_ number: CInt) {
        process.signal(number)
    }

    var address: RedisAddress { RedisAddress(.unix(path: socket)) }

    var settings: RedisSettings {
        var settings = RedisSettings()
        settings.probeInterval = .milliseconds(50)
        // The suites run side by side: an answer may take its time.
        settings.connectTimeout = .seconds(20)
        settings.commandTimeout = .seconds(20)
        return settings
    }

    /// A link that looks for it, and so may begin before it listens.
    func link(_ prepare: (inout RedisAddress, inout RedisSettings) -> Void = { _, _ in }) -> RedisLink {
        var (address, settings) = (address, settings)
        prepare(&address, &settings)
        return RedisLink(address, settings, id: UUID().uuidString, outage: .jobsWait, logger: .silent)
    }
}
