import NIOCore

/// Tells the guard of the first byte of a head, which the decoder keeps to itself until the head is complete.
final class FirstByteWatch: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let connectionGuard: ConnectionGuard

    init(connectionGuard: ConnectionGuard) {
        self.connectionGuard = connectionGuard
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard connectionGuard.bytesArrived(unwrapInboundIn(data)) else {
            return context.close(promise: nil)
        }
        context.fireChannelRead(data)
        connectionGuard.bytesRead()
    }
}
