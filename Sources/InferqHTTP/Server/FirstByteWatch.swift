import NIOCore

/// Shows the guard every byte before the decoder reads it, which keeps a head to itself until that is complete.
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
