import Logging
import NIOCore
import NIOHTTP1

/// One accepted connection: its pipeline, and the loop that answers its requests.
final class AcceptedConnection: Sendable {
    private let connection: Connection
    private let requests = RequestQueue()
    private let isRefused: Bool
    private let responder: GatewayResponder

    /// Builds the pipeline; on the channel's event loop.
    ///
    /// - Parameter tls: the stages before HTTP, of a connection that speaks TLS.
    init(
        _ channel: any Channel,
        settings: HTTPSettings,
        origin: Connection.Origin,
        tls: TLSStages? = nil,
        isRefused: Bool,
        responder: GatewayResponder
    ) throws {
        connection = Connection(channel: channel, origin: origin, isSecure: tls != nil)
        self.isRefused = isRefused
        self.responder = responder
        let pipeline = channel.pipeline.syncOperations
        var limits = NIOHTTPDecoderLimitConfiguration()
        // Larger than ours: our own check tells a long target from a large head.
        limits.maxHeaderFieldSize = 4 * settings.head
        limits.maxHeaderListSize = 4 * settings.head
        limits.maxHeaderFieldCount = 4 * settings.headerFields
        let decoder = RequestDecoder(limits: limits)
        let connectionGuard = ConnectionGuard(connection: connection, settings: settings, decoder: decoder)
        try tls?.add(to: pipeline, of: connection)
        try pipeline.addHandler(FirstByteWatch(connectionGuard: connectionGuard))
        try pipeline.addHandler(ByteToMessageHandler(decoder))
        try pipeline.addHandler(connectionGuard)
        try pipeline.addHandler(RequestStage(requests: requests))
    }

    var eventLoop: any EventLoop { connection.channel.eventLoop }

    /// A long answer that has begun. A task keeps the most memory that its calls ever took until it ends, and to find an
    /// answer takes 12 KiB: with a stream that would stay for as long as it is open. So a task of its own writes the rest.
    struct Long: Sendable {
        fileprivate let rest: Connection.Rest
        /// Whether no request may follow.
        fileprivate let isLast: Bool
    }

    /// Answers requests in order until the last one; returns when the connection is closed, or was handed over.
    ///
    /// - Parameters:
    ///   - long: an answer that has begun, and comes first.
    ///   - handOver: sees to it that another task calls this function with the long answer; false when it cannot, and then
    ///     this task goes on.
    func serve(_ long: Long? = nil, logger: Logger, handOver: @Sendable (Long) -> Bool) async {
        do {
            if let long { try await finish(long) }
            if long?.isLast != true {
                guard try await serveAll(handOver) else { return }
            }
            // The guard closes the connection once the kernel has taken the last answer.
        } catch let error as HTTPParserError {
            // The guard has answered, and closes when the client has had time to read that.
            logger.trace("a request ended malformed", metadata: ["error": "\(error)"])
        } catch {
            logger.trace("a connection broke", metadata: ["error": "\(error)"])
            connection.channel.close(promise: nil)
        }
        try? await connection.channel.closeFuture.get()
    }

    private func finish(_ long: Long) async throws {
        defer { responder.ended(connection) }
        try await long.rest()
    }

    /// - Returns: false once the connection was handed over.
    private func serveAll(_ handOver: @Sendable (Long) -> Bool) async throws -> Bool {
        while let request = await requests.next() {
            let (isLast, rest, isLong) = try await begin(request)
            if let rest {
                let long = Long(rest: rest, isLast: isLast)
                if isLong, handOver(long) { return false }
                try await finish(long)
            }
            // Nothing that follows on the connection is looked at (RFC 9112, section 9.6).
            if isLast { break }
        }
        return true
    }

    /// Finds the answer, and writes it as far as it is there.
    private func begin(_ request: Request) async throws -> (isLast: Bool, rest: Connection.Rest?, isLong: Bool) {
        var rest: Connection.Rest?
        defer { if rest == nil { responder.ended(connection) } }
        let response = try await responder.response(to: request, connection, isRefused: isRefused)
        rest = connection.begin(response)
        return (response.isLast, rest, response.isLong)
    }
}
