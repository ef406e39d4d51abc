import NIOCore

/// Tells a connection that a server closed after it had read the request from one that it closed before.
///
/// What arrives at a closed socket is answered with a reset. But the end is read first, and NIO would close the channel then
/// and never ask for the error. So the channel stays open until this has asked.
final class ResetWatch: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    /// The server has closed the connection, and has not read all that was sent on it.
    struct Unread: Sendable {}

    /// The channel option without which this sees nothing.
    static let option = ChannelOptions.Types.AllowRemoteHalfClosureOption()

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case ChannelEvent.inputClosed? = event as? ChannelEvent else {
            return context.fireUserInboundEventTriggered(event)
        }
        // Of Linux's sockets that have read an end, only those that met a reset have an error.
        let error = try? context.channel.syncOptions?.getOption(.socketOption(.so_error))
        if let error, error != 0 { context.fireUserInboundEventTriggered(Unread()) }
        context.close(promise: nil)
    }
}
