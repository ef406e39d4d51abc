import InferqCore
import InferqQueue
import InferqStore
import Logging
import NIOCore
import NIOEmbedded
import TestSupport

@testable import InferqHTTP

/// A gateway with one model, "m", on a store of its own; its connections have no sockets.
struct TestGateway: Sendable {
    let gateway: Gateway
    private let responder: GatewayResponder
    private let logger: Logger

    /// Runs `body` with a gateway that is new, and takes its store away afterwards.
    static func with(
        _ settings: HTTPSettings = HTTPSettings(), _ access: AccessSettings = AccessSettings(),
        _ keys: KeyRing = KeyRing(), _ body: @Sendable (TestGateway) async throws -> Void
    ) async throws {
        let folder = try TemporaryFolder()
        defer { withExtendedLifetime(folder) {} }
        let store = try JobStore(StoreSettings(path: folder.store), models: ["m"], bootID: "") { _ in }
        let model = ModelSettings(name: "m", url: "http://127.0.0.1:1/")
        let queue = try JobQueue(store: store, broker: RingBroker(capacity: 64), models: [model])
        try await body(TestGateway(queue, settings, access, keys))
        await store.close()
    }

    private init(_ queue: JobQueue, _ settings: HTTPSettings, _ access: AccessSettings, _ keys: KeyRing) {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        self.logger = logger
        gateway = Gateway(
            queue: queue, wheel: TimerWheel(), settings: Live(settings), access: access, keys: keys, version: "0")
        responder = GatewayResponder(gateway: gateway, logger: logger)
    }

    /// Sends `requests` on one connection, and reads it to its end.
    ///
    /// - Parameter requests: the last one asks for the end with `Connection: close`.
    func exchange(_ requests: String, isLocal: Bool = false, isRefused: Bool = false) async throws -> String {
        let channel = NIOAsyncTestingChannel()
        let settings = gateway.settings.current
        let responder = responder
        let accepted = try await channel.testingEventLoop.executeInContext {
            try AcceptedConnection(
                channel, settings: settings, origin: isLocal ? .local : .network(address: nil), isRefused: isRefused,
                responder: responder
            )
        }
        try await channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).get()
        async let served: Void = accepted.serve(logger: logger) { _ in false }
        try await channel.writeInbound(ByteBuffer(string: requests))
        await served
        var received = ""
        while let bytes = try await channel.readOutbound(as: ByteBuffer.self) { received += String(buffer: bytes) }
        _ = try await channel.finish(acceptAlreadyClosed: true)
        await channel.testingEventLoop.shutdownGracefully()
        return received
    }

    /// The one answer to a request of its own.
    ///
    /// - Parameter fields: lines, each with its end.
    func ask(_ line: String, _ fields: String = "", body: String? = nil, isLocal: Bool = false) async throws
        -> TestAnswer
    {
        let length = body.map { "Content-Length: \($0.utf8.count)\r\n" } ?? ""
        let head = "\(line) HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\(length)\(fields)\r\n"
        return TestAnswer(try await exchange(head + (body ?? ""), isLocal: isLocal))
    }
}

/// An answer as it was received.
struct TestAnswer: Sendable {
    let status: String
    /// In the order in which they came, names as they were written, without `Date`.
    let fields: [(name: String, value: String)]
    let body: String

    init(_ received: String) {
        let end = received.firstRange(of: "\r\n\r\n")
        let lines = received[..<(end?.lowerBound ?? received.endIndex)].split(separator: "\r\n")
        status = lines.first.map { String($0.dropFirst("HTTP/1.1 ".count)) } ?? ""
        fields = lines.dropFirst().map { line in
            let name = line.prefix { $0 != ":" }
            return (String(name), String(line.dropFirst(name.count + 2)))
        }.filter { $0.name.lowercased() != "date" }
        body = end.map { String(received[$0.upperBound...]) } ?? ""
    }

    subscript(name: String) -> String? {
        fields.first { $0.name.lowercased() == name.lowercased() }?.value
    }
}
