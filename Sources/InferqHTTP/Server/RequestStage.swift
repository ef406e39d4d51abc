import NIOCore
import NIOHTTP1

/// The last stage of a connection's pipeline: gathers requests for the connection's task.
///
/// NIO's own way to async code (`NIOAsyncChannel`) passes every part of a request and of its answer through a sequence
/// and a lock. Nearly all requests arrive whole in one read: they are handed over whole here, which costs one wake-up
/// (measured on reads of a record: a third less CPU). Bodies that take longer are handed over as they come.
final class RequestStage: ChannelDuplexHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundIn = AnswerPart
    typealias OutboundOut = AnswerPart

    private let requests: RequestQueue
    private var gatherer = BodyGatherer<HTTPRequestHead>()

    init(requests: RequestQueue) {
        self.requests = requests
    }

    // MARK: Requests

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): gatherer.head(head)
        case .body(let bytes): gatherer.body(bytes)
        case .end:
            guard let (head, body) = gatherer.end() else { return }
            put(head, .whole(body), context)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if gatherer.isGathering { handOver(context) }
        context.fireChannelReadComplete()
    }

    private func handOver(_ context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let message = gatherer.handOver(on: context.eventLoop) { change in
            let (stage, context) = bound.value
            // The rest of a body that no one takes is thrown away.
            _ = stage.gatherer.demandChanged(change)
            stage.readIfHeld(context)
        }
        guard let (head, parts) = message else { return }
        put(head, .parts(parts), context)
    }

    private func put(_ head: HTTPRequestHead, _ body: RequestBody, _ context: ChannelHandlerContext) {
        // The decoder knows no method that is not a token.
        guard let request = Request(head, body) else { return context.close(promise: nil) }
        requests.put(request)
    }

    /// Ends whatever is still awaited: nothing more will come.
    private func end(_ error: any Error) {
        gatherer.close(error)
        requests.finish()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        end(error)
    }

    func channelInactive(context: ChannelHandlerContext) {
        end(ChannelError.inputClosed)
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed? = event as? ChannelEvent { end(ChannelError.inputClosed) }
        context.fireUserInboundEventTriggered(event)
    }

    // MARK: Reading no faster than is answered

    /// Requests of one connection that may wait while an earlier one is answered (pipelining).
    private static let pipelineLimit = 16

    private var hasRoom: Bool { requests.count < Self.pipelineLimit }

    func read(context: ChannelHandlerContext) {
        if gatherer.mayRead(hasRoom: hasRoom) { context.read() }
    }

    private func readIfHeld(_ context: ChannelHandlerContext) {
        if gatherer.isReadHeld, gatherer.mayRead(hasRoom: hasRoom) { context.read() }
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        context.write(data, promise: promise)
        // An answer has ended: there may be room for the next request.
        if gatherer.isReadHeld, unwrapOutboundIn(data).isEnd { readIfHeld(context) }
    }
}
