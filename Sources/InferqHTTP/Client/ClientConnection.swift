import Glibc
import NIOCore
import NIOHTTP1
import NIOTLS

/// How long a client waits for servers.
struct ClientLimits {
    /// A server that has not accepted by then counts as away; the handshake of TLS may take as long again.
    var connect = TimeAmount.seconds(5)
    /// Under the five seconds after which common model servers (uvicorn) close an idle connection themselves. A request
    /// on a connection that is just being closed is sent once more.
    var idle = TimeAmount.seconds(4)
    /// How long an answer may stand still, from the last byte of the request on; nil: forever.
    var silence: TimeAmount?
}

/// One kept-alive connection to a server: the last stage of its pipeline, on its event loop.
///
/// One exchange at a time. What a server sends out of turn ends the connection, and so does an answer that ends before
/// the request was taken whole: the next call must not meet the rest of it.
final class ClientConnection: ChannelDuplexHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundIn = HTTPClientRequestPart
    typealias OutboundOut = HTTPClientRequestPart
    typealias Ready = (Result<ClientConnection, any Error>) -> Void

    private enum Phase {
        /// TLS is being agreed on.
        case handshake(Ready?)
        case idle(since: NIODeadline)
        /// No head has come.
        case waiting(ClientExchange)
        /// The answer's end has not come.
        case answering(ClientExchange)
        case closed(because: any Error)
    }

    private let channel: any Channel
    private let limits: ClientLimits
    /// Takes the connection back for the next exchange.
    private let release: (ClientConnection) -> Void
    /// Sends an exchange on a new connection, since this one had been closed before.
    private let sendAnew: (ClientExchange) -> Void
    /// Whether it has carried an exchange to its end.
    private var hasServed = false
    private var phase: Phase
    private var keepsAlive = true
    private var isRequestWritten = true
    private var gatherer = BodyGatherer<HTTPResponseHead>()
    /// When something came last, or the request's end was written; kept only where silence is bounded.
    private var lastSign = NIODeadline.uptimeNanoseconds(0)
    private var timer: Scheduled<Void>?

    init(
        _ channel: any Channel,
        usesTLS: Bool,
        _ limits: ClientLimits,
        release: @escaping (ClientConnection) -> Void,
        sendAnew: @escaping (ClientExchange) -> Void
    ) {
        self.channel = channel
        self.limits = limits
        self.release = release
        self.sendAnew = sendAnew
        phase = usesTLS ? .handshake(nil) : .idle(since: channel.eventLoop.now)
    }

    /// Calls `then` when the connection can carry an exchange: at once but for TLS.
    func whenReady(_ then: @escaping Ready) {
        switch phase {
        case .handshake:
            phase = .handshake(then)
            schedule(limits.connect)
        case .closed(let error): then(.failure(error))
        case .idle, .waiting, .answering: then(.success(self))
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshake(let then) = phase, case TLSUserEvent.handshakeCompleted? = event as? TLSUserEvent {
            phase = .idle(since: channel.eventLoop.now)
            then?(.success(self))
        }
        if event is ResetWatch.Unread, case .waiting = phase {
            fail(IOError(errnoCode: EPIPE, reason: "the server had closed the connection before it read the request"))
        }
        context.fireUserInboundEventTriggered(event)
    }

    /// A new connection waits for its first exchange.
    func rest() {
        if timer == nil { schedule(limits.idle) }
        release(self)
    }

    var isUsable: Bool {
        if case .idle = phase, channel.isActive { true } else { false }
    }

    func close() {
        channel.close(promise: nil)
    }

    // MARK: One exchange

    func send(_ exchange: ClientExchange) {
        guard exchange.begins(on: channel) else { return stayIdle() }
        phase = .waiting(exchange)
        keepsAlive = true
        isRequestWritten = false
        if let silence = limits.silence, timer == nil { schedule(min(silence, limits.idle)) }
        channel.write(HTTPClientRequestPart.head(exchange.head), promise: nil)
        switch exchange.body {
        case .whole(let bytes):
            if bytes.readableBytes > 0 { channel.write(HTTPClientRequestPart.body(.byteBuffer(bytes)), promise: nil) }
            _ = endRequest()
        case .stream(let writers):
            channel.flush()
            writers.yield(BodyWriter(self, on: channel.eventLoop))
            writers.finish()
        }
    }

    /// The next piece of a body that is written as it comes.
    func write(_ piece: ByteBuffer) -> EventLoopFuture<Void> {
        channel.writeAndFlush(HTTPClientRequestPart.body(.byteBuffer(piece)))
    }

    func endRequest() -> EventLoopFuture<Void> {
        let written = channel.eventLoop.makePromise(of: Void.self)
        let bound = NIOLoopBound(self, eventLoop: channel.eventLoop)
        written.futureResult.whenSuccess { bound.value.requestWritten() }
        channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: written)
        return written.futureResult
    }

    private func requestWritten() {
        isRequestWritten = true
        noteSign()
    }

    private func noteSign() {
        if limits.silence != nil { lastSign = channel.eventLoop.now }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        noteSign()
        switch (unwrapInboundIn(data), phase) {
        case (.head(let head), .waiting(let exchange)):
            // After 101 the connection speaks another protocol.
            keepsAlive = head.isKeepAlive && head.status != .switchingProtocols && !Self.mayBeFollowed(head)
            phase = .answering(exchange)
            gatherer.head(head)
        case (.body(let bytes), .answering): gatherer.body(bytes)
        case (.end, .answering(let exchange)):
            // Without a length the end of the connection is that of the answer, but not if it was closed from here.
            if let failure = exchange.failure { return end(failure) }
            // Before it has ended: the time may be up at this moment, and an exchange that neither waits for its answer nor
            // has a connection would count as one that was never sent.
            if let (head, body) = gatherer.end() { exchange.resume(with: .success(Self.answer(head, .whole(body)))) }
            exchange.ended()
            becomeIdle()
        default: context.close(promise: nil)
        }
    }

    /// Whether a server announces a body that an answer of this status cannot have (RFC 9112, section 6.3). One that sends it
    /// all the same sends what the next call would take for its answer.
    private static func mayBeFollowed(_ head: HTTPResponseHead) -> Bool {
        guard head.status == .noContent || head.status == .notModified else { return false }
        return head.headers.contains(name: "Transfer-Encoding")
            || head.headers.first(name: "Content-Length").map { $0 != "0" } ?? false
    }

    private static func answer(_ head: HTTPResponseHead, _ body: ClientAnswer.Body) -> ClientAnswer {
        ClientAnswer(status: Int(head.status.code), headers: head.headers, body: body)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        // The rest of the answer takes longer: anyone who waits is told the head, and reads the body as it comes.
        if gatherer.isGathering { handOver(context) }
    }

    private func handOver(_ context: ChannelHandlerContext) {
        guard case .answering(let exchange) = phase else { return }
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let message = gatherer.handOver(on: context.eventLoop, marks: Self.marks) { change in
            let (connection, context) = bound.value
            connection.noteSign()
            if connection.gatherer.demandChanged(change) { return context.close(promise: nil) }
            if connection.gatherer.isReadHeld, connection.gatherer.mayRead() { context.read() }
        }
        guard let (head, parts) = message else { return }
        exchange.resume(with: .success(Self.answer(head, .parts(parts))))
    }

    /// Reads of an answer that wait to be taken. With the one that is being read, at most 192 KiB.
    private static let marks = (low: 1, high: 2)

    func read(context: ChannelHandlerContext) {
        if gatherer.mayRead() { context.read() }
    }

    // MARK: Ends

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        fail((error as? HTTPParserError).map(HTTPClientError.init) ?? error)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        fail(HTTPClientError.closedEarly)
        timer?.cancel()
        context.fireChannelInactive()
    }

    private func fail(_ error: any Error) {
        let before = phase
        phase = .closed(because: error)
        switch before {
        case .handshake(let then): then?(.failure(error))
        case .waiting(let exchange) where hasServed && Self.isOfStale(error) && exchange.mayRepeat(): sendAnew(exchange)
        case .waiting(let exchange): exchange.resume(with: .failure(hasServed ? error : Self.explained(error)))
        case .answering(let exchange):
            gatherer.close(exchange.failure ?? error)
            exchange.resume(with: .failure(error))
        case .idle: break
        case .closed(let first): phase = .closed(because: first)
        }
    }

    /// Whether a connection that the server had closed while it was idle ends like this.
    private static func isOfStale(_ error: any Error) -> Bool {
        switch error {
        case HTTPClientError.silent, HTTPClientError.cutOff, HTTPClientError.headTooLarge, HTTPClientError.notHTTP:
            false
        default: true
        }
    }

    /// What it means that a new connection failed before a byte of an answer.
    private static func explained(_ error: any Error) -> any Error {
        guard let system = error as? IOError, system.errnoCode == ECONNRESET || system.errnoCode == EPIPE else {
            return error
        }
        return HTTPClientError.reset(system)
    }

    // MARK: Between exchanges

    private func becomeIdle() {
        hasServed = true
        stayIdle()
    }

    private func stayIdle() {
        guard keepsAlive, isRequestWritten, channel.isActive else {
            phase = .closed(because: HTTPClientError.closedEarly)
            return close()
        }
        phase = .idle(since: channel.eventLoop.now)
        if timer == nil { schedule(limits.idle) }
        release(self)
    }

    /// One timer a connection, set again only when it fires.
    private func schedule(_ delay: TimeAmount) {
        let bound = NIOLoopBound(self, eventLoop: channel.eventLoop)
        timer = channel.eventLoop.scheduleTask(in: delay) { bound.value.look() }
    }

    private func look() {
        switch phase {
        case .handshake: end(ChannelError.connectTimeout(limits.connect))
        case .idle(let since):
            let rest = since + limits.idle - channel.eventLoop.now
            if rest > .zero { schedule(rest) } else { close() }
        case .waiting, .answering:
            guard let silence = limits.silence, isRequestWritten, !gatherer.isReadHeld else {
                return schedule(limits.idle)
            }
            let rest = lastSign + silence - channel.eventLoop.now
            if rest > .zero { schedule(min(rest, limits.idle)) } else { end(HTTPClientError.silent) }
        case .closed: break
        }
    }

    private func end(_ error: any Error) {
        fail(error)
        close()
    }
}
