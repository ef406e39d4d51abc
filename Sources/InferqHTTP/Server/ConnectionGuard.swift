import Glibc
import HTTPTypes
import NIOCore
import NIOHTTP1
import NIOSSL

/// Keeps one connection within its limits and the framework's errors in our form: does what ``ConnectionState`` says, and
/// writes answers.
///
/// It stands between NIO's HTTP decoder and the rest, so it sees each head before a route does. All of it belongs to the
/// channel's event loop.
final class ConnectionGuard: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = AnswerPart
    typealias OutboundOut = ByteBuffer

    private let connection: Connection
    private let decoder: RequestDecoder
    private var state: ConnectionState
    private var encoder = AnswerEncoder()
    /// What the decoder is reading.
    private var arriving = ByteBuffer()
    private var timer: Scheduled<Void>?
    /// When it fires.
    private var due = NIODeadline.distantFuture

    init(connection: Connection, settings: HTTPSettings, decoder: RequestDecoder) {
        self.connection = connection
        self.decoder = decoder
        state = ConnectionState(settings: settings, now: .now())
    }

    func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { schedule(context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        state.opened(now: .now())
        if timer == nil { schedule(context) }
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        timer?.cancel()
        connection.hungUp()
        context.fireChannelInactive()
    }

    // MARK: Requests

    /// Told by ``FirstByteWatch``, which sees bytes before the decoder does.
    ///
    /// - Returns: false when the connection is to be closed at once.
    func bytesArrived(_ bytes: ByteBuffer) -> Bool {
        arriving = bytes
        return switch state.arrived(bytes, now: .now()) {
        case .none, .linger: true
        case .close: false
        }
    }

    /// The decoder has read what arrived.
    func bytesRead() {
        arriving = ByteBuffer()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let part = unwrapInboundIn(data)
        switch state.request(part, now: .now()) {
        case .pass: context.fireChannelRead(data)
        case .passHead(let head): context.fireChannelRead(wrapInboundOut(.head(head)))
        case .passEndAndRenewDecoder:
            decoder.offeringRequestEnded()
            context.fireChannelRead(data)
        case .refuse(let error):
            guard case .head(let head) = part else { return refuse(error, context) }
            refuse(error, context, instance: String(head.uri.prefix { $0 != "?" }.prefix(256)))
        case .drop: break
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let error = error as? HTTPParserError else {
            connection.hungUp()
            return context.close(promise: nil)
        }
        switch state.unreadable(error, in: arriving, now: .now()) {
        case .refuse(let refusal):
            refuse(refusal, context)
            context.fireErrorCaught(error)
        case .pass: context.fireErrorCaught(error)
        case .drop: break
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case ChannelEvent.inputClosed:
            connection.hungUp()
            perform(state.inputClosed(), context)
        case is ChannelShouldQuiesceEvent:
            state.quiesce(now: .now())
            reschedule(context)
        default: break
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if state.isArriving, state.nextTick(after: .now()) < due { reschedule(context) }
        context.fireChannelReadComplete()
    }

    // MARK: Answers

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        var part = unwrapOutboundIn(data)
        switch state.answer(&part, now: .now()) {
        case .write: write(part, context, promise)
        case .writeEnd(let isWritten):
            part.isEnd = isWritten
            let isTaken = promise ?? context.eventLoop.makePromise(of: Void.self)
            isTaken.futureResult.assumeIsolated().whenComplete { _ in
                self.perform(self.state.taken(now: .now()), context)
            }
            write(part, context, isTaken)
        case .drop: promise?.fail(ChannelError.ioOnClosedChannel)
        }
    }

    /// - Parameter promise: succeeds once the kernel has taken all of it.
    private func write(_ part: AnswerPart, _ context: ChannelHandlerContext, _ promise: EventLoopPromise<Void>?) {
        let (first, rest) = encoder.encode(part, context.channel.allocator)
        context.write(wrapOutboundOut(first), promise: rest.isEmpty ? promise : nil)
        for (number, buffer) in rest.enumerated() {
            context.write(wrapOutboundOut(buffer), promise: number == rest.count - 1 ? promise : nil)
        }
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        guard mode == .all, state.isCutByReset, let channel = context.channel as? any SocketOptionProvider else {
            return context.close(mode: mode, promise: promise)
        }
        // With TLS, nothing may say that the answer was at its end: the stage that would is passed by.
        let below = (try? context.pipeline.syncOperations.context(handlerType: NIOSSLServerHandler.self)) ?? context
        // Set at once: this is the channel's event loop.
        channel.setSoLinger(Glibc.linger(l_onoff: 1, l_linger: 0)).assumeIsolated().whenComplete { _ in
            below.close(mode: mode, promise: promise)
        }
    }

    private func perform(_ action: ConnectionState.Action, _ context: ChannelHandlerContext) {
        switch action {
        case .none: break
        case .close: context.close(promise: nil)
        case .linger: linger(context)
        }
    }

    private func refuse(_ error: APIError, _ context: ChannelHandlerContext, instance: String? = nil) {
        let document = error.document(instance: instance)
        var fields: HTTPFields = [.contentType: "application/problem+json", .cacheControl: "no-store"]
        for field in error.headers { fields[field.name] = field.value }
        let head = ResponseHead(status: error.status, fields: fields, length: document.readableBytes, isLast: true)
        write(AnswerPart(head: head, body: document, isEnd: true), context, nil)
        linger(context)
    }

    private func linger(_ context: ChannelHandlerContext) {
        context.flush()
        context.close(mode: .output, promise: nil)
        reschedule(context)
    }

    // MARK: Time

    private func reschedule(_ context: ChannelHandlerContext) {
        timer?.cancel()
        schedule(context)
    }

    /// One timer a connection. It is set again when it fires, for an end, and for a request that takes more than one read
    /// and whose time is over before: others move no timers.
    private func schedule(_ context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        due = state.nextTick(after: .now())
        timer = context.eventLoop.scheduleTask(deadline: due) {
            let (handler, context) = bound.value
            handler.tick(context)
        }
    }

    private func tick(_ context: ChannelHandlerContext) {
        switch state.tick(now: .now()) {
        case .wait: schedule(context)
        case .close: context.close(promise: nil)
        case .refuse(let error): refuse(error, context)
        case .refuseBody(let error):
            refuse(error, context)
            context.fireErrorCaught(HTTPParserError.invalidEOFState)
        }
    }
}
