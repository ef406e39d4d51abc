import HTTPTypes
import HummingbirdCore
import NIOCore
import NIOHTTPTypes

/// The last stage of a connection's pipeline: gathers requests for the connection's task.
///
/// NIO's own way to async code (`NIOAsyncChannel`) passes every part of a request and of its answer through a sequence
/// and a lock. Nearly all requests arrive whole in one read: they are handed over whole here, which costs one wake-up
/// (measured on reads of a record: a third less CPU). Bodies that take longer are handed over as they come, and are
/// read from the socket no faster than they are taken.
final class RequestStage: ChannelDuplexHandler {
    typealias InboundIn = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private typealias Parts = NIOThrowingAsyncSequenceProducer<
        ByteBuffer, any Error, NIOAsyncSequenceProducerBackPressureStrategies.HighLowWatermark, Demand
    >

    private enum Phase {
        case betweenRequests
        /// A head has come; its body may still come whole.
        case gathering(HTTPRequest, ByteBuffer?)
        /// The request was handed over, its body goes after it.
        case streaming(Parts.Source)
        /// Nobody takes the rest of this body.
        case discarding
        case ended
    }

    private let inbox: Inbox
    private var phase = Phase.betweenRequests
    /// Of the body that is, or was last, handed over as it comes.
    private var bodyNumber = 0
    private var isBodyHeld = false
    private var isReadHeld = false

    init(inbox: Inbox) {
        self.inbox = inbox
    }

    // MARK: Requests

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch (unwrapInboundIn(data), phase) {
        case (.head(let head), .betweenRequests): phase = .gathering(head, nil)
        case (.body(let bytes), .gathering(let head, nil)): phase = .gathering(head, bytes)
        case (.body(var bytes), .gathering(let head, var gathered?)):
            phase = .betweenRequests
            gathered.writeBuffer(&bytes)
            phase = .gathering(head, gathered)
        case (.body(let bytes), .streaming(let source)):
            switch source.yield(bytes) {
            case .produceMore: break
            case .stopProducing: isBodyHeld = true
            case .dropped: phase = .discarding
            }
        case (.end, .gathering(let head, let gathered)):
            phase = .betweenRequests
            inbox.put(Request(head: head, body: RequestBody(buffer: gathered ?? ByteBuffer())))
        case (.end, .streaming(let source)):
            phase = .betweenRequests
            isBodyHeld = false
            source.finish()
        case (.end, .discarding): phase = .betweenRequests
        default: break
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if case .gathering(let head, let gathered) = phase { stream(head, gathered, context) }
        context.fireChannelReadComplete()
    }

    private func stream(_ head: HTTPRequest, _ gathered: ByteBuffer?, _ context: ChannelHandlerContext) {
        bodyNumber += 1
        let number = bodyNumber
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let demand = Demand(eventLoop: context.eventLoop) { isWanted in
            let (stage, context) = bound.value
            stage.bodyDemandChanged(isWanted, of: number, context)
        }
        let parts = Parts.makeSequence(
            elementType: ByteBuffer.self,
            failureType: (any Error).self,
            backPressureStrategy: .init(lowWatermark: 2, highWatermark: 8),
            finishOnDeinit: true,
            delegate: demand
        )
        phase = .streaming(parts.source)
        if let gathered, case .stopProducing = parts.source.yield(gathered) { isBodyHeld = true }
        inbox.put(Request(head: head, body: RequestBody(asyncSequence: parts.sequence)))
    }

    /// - Parameter isWanted: false once nobody will take the rest.
    private func bodyDemandChanged(_ isWanted: Bool, of number: Int, _ context: ChannelHandlerContext) {
        // That a body was taken may be told when the next one is on its way already (pipelining): its rest must come.
        if number == bodyNumber {
            isBodyHeld = false
            if !isWanted, case .streaming = phase { phase = .discarding }
        }
        readIfHeld(context)
    }

    /// Ends whatever is still awaited: nothing more will come.
    private func end(_ error: (any Error)?) {
        if case .streaming(let source) = phase {
            source.finish(error ?? ChannelError.inputClosed)
        }
        phase = .ended
        inbox.finish()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        end(error)
    }

    func channelInactive(context: ChannelHandlerContext) {
        end(nil)
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed? = event as? ChannelEvent { end(nil) }
        context.fireUserInboundEventTriggered(event)
    }

    // MARK: Reading no faster than is answered

    /// Requests of one connection that may wait while an earlier one is answered (pipelining).
    private static let pipelineLimit = 16

    func read(context: ChannelHandlerContext) {
        guard !isBodyHeld, inbox.count < Self.pipelineLimit else {
            isReadHeld = true
            return
        }
        context.read()
    }

    /// An answer has ended: there may be room for the next request.
    func readIfHeld(_ context: ChannelHandlerContext) {
        guard isReadHeld, !isBodyHeld, inbox.count < Self.pipelineLimit else { return }
        isReadHeld = false
        context.read()
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        context.write(data, promise: promise)
        if isReadHeld, case .end = unwrapOutboundIn(data) { readIfHeld(context) }
    }
}

/// Tells a stage, on its event loop, whether more of a body is wanted.
private struct Demand: NIOAsyncSequenceProducerDelegate {
    let eventLoop: any EventLoop
    let changed: @Sendable (_ isWanted: Bool) -> Void

    func produceMore() {
        eventLoop.execute { changed(true) }
    }

    func didTerminate() {
        eventLoop.execute { changed(false) }
    }
}
