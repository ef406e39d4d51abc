import HummingbirdCore
import InferqCore
import Logging
import NIOCore
import NIOHTTP1
import NIOHTTPTypes
import NIOHTTPTypesHTTP1

/// One accepted connection: its pipeline, and the loop that answers its requests.
struct AcceptedConnection: HTTPChannelHandler {
    typealias Value = NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>

    let responder: Responder
    private let asyncChannel: Value

    /// Builds the pipeline; on the channel's event loop.
    init(
        _ channel: any Channel,
        settings: HTTPSettings,
        isLocal: Bool,
        isRefused: Bool,
        responder: GatewayResponder
    ) throws {
        let connection = Connection(channel: channel, isLocal: isLocal)
        let pipeline = channel.pipeline.syncOperations
        var limits = NIOHTTPDecoderLimitConfiguration()
        // Larger than ours: our own check tells a long target from a large head.
        limits.maxHeaderFieldSize = 4 * settings.head
        limits.maxHeaderListSize = 4 * settings.head
        limits.maxHeaderFieldCount = 4 * settings.headerFields
        let connectionGuard = ConnectionGuard(connection: connection, settings: settings)
        try pipeline.addHandler(FirstByteWatch(connectionGuard: connectionGuard))
        try pipeline.configureHTTPServerPipeline(
            withPipeliningAssistance: false,
            withErrorHandling: false,
            withOutboundHeaderValidation: true,
            withEncoderConfiguration: .init(),
            withDecoderLimitConfiguration: limits
        )
        try pipeline.addHandler(connectionGuard)
        try pipeline.addHandler(HTTP1ToHTTPServerCodec(secure: false))
        asyncChannel = try Value(
            wrappingChannelSynchronously: channel, configuration: .init(isOutboundHalfClosureEnabled: true)
        )
        self.responder = { request, writer, _ in
            try await responder.respond(to: request, writer, connection, isRefused: isRefused)
        }
    }

    var eventLoop: any EventLoop { asyncChannel.channel.eventLoop }

    func serve(logger: Logger) async {
        await handleHTTP(asyncChannel: asyncChannel, logger: logger)
    }

    // MARK: ServerChildChannel

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        channel.eventLoop.makeSucceededFuture(asyncChannel)
    }

    func handle(value: Value, logger: Logger) async {
        await handleHTTP(asyncChannel: value, logger: logger)
    }
}
