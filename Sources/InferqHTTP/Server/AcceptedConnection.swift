import Logging
import NIOCore
import NIOHTTP1

/// One accepted connection: its pipeline, and the loop that answers its requests.
struct AcceptedConnection: Sendable {
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

    /// Answers requests in order until the last one; returns when the connection is closed.
    func serve(logger: Logger) async {
        do {
            while let request = await requests.next() {
                defer { responder.ended(connection) }
                let response = try await responder.response(to: request, connection, isRefused: isRefused)
                try await connection.send(response)
                // Nothing that follows on the connection is looked at (RFC 9112, section 9.6).
                if response.headers[.connection] == "close" { break }
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
}
