import Glibc
import NIOCore
import NIOHTTP1
import NIOSSL

/// One kept-alive connection to a model server: the last stage of its pipeline, on its event loop.
///
/// One exchange at a time. What a model server sends out of turn ends the connection, and so does an answer that ends
/// before the request was taken whole: the next call must not meet the rest of it.
final class ClientConnection: ChannelDuplexHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundIn = HTTPClientRequestPart
    typealias OutboundOut = HTTPClientRequestPart

    private enum Phase {
        case idle(since: NIODeadline)
        /// No head has come.
        case waiting(ClientExchange)
        /// The answer's end has not come.
        case answering(ClientExchange)
        case closed
    }

    private let channel: any Channel
    private let idleLimit: TimeAmount
    /// Takes the connection back for the next call.
    private let release: (ClientConnection) -> Void
    /// Sends an exchange on a new connection, since this one had been closed before.
    private let sendAnew: (ClientExchange) -> Void
    /// Whether it has carried an exchange to its end.
    private var hasServed = false
    private var phase = Phase.idle(since: .now())
    private var keepsAlive = true
    private var isRequestWritten = true
    private var gatherer = BodyGatherer<HTTPResponseHead>()
    private var timer: Scheduled<Void>?

    init(
        _ channel: any Channel,
        idleLimit: TimeAmount,
        release: @escaping (ClientConnection) -> Void,
        sendAnew: @escaping (ClientExchange) -> Void
    ) {
        self.channel = channel
        self.idleLimit = idleLimit
        self.release = release
        self.sendAnew = sendAnew
    }

    /// A new connection waits for its first exchange.
    func rest() {
        schedule(idleLimit)
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
        channel.write(HTTPClientRequestPart.head(exchange.head), promise: nil)
        channel.write(HTTPClientRequestPart.body(.byteBuffer(exchange.body)), promise: nil)
        let written = channel.eventLoop.makePromise(of: Void.self)
        let bound = NIOLoopBound(self, eventLoop: channel.eventLoop)
        written.futureResult.whenSuccess { bound.value.isRequestWritten = true }
        channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: written)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch (unwrapInboundIn(data), phase) {
        case (.head(let head), .waiting(let exchange)):
            // After 101 the connection speaks another protocol.
            keepsAlive = head.isKeepAlive && head.status != .switchingProtocols
            phase = .answering(exchange)
            gatherer.head(head)
        case (.body(let bytes), .answering): gatherer.body(bytes)
        case (.end, .answering(let exchange)):
            exchange.ended()
            let message = gatherer.end()
            becomeIdle()
            if let (head, body) = message { exchange.resume(with: .success(Self.answer(head, .whole(body)))) }
        default: context.close(promise: nil)
        }
    }

    private static func answer(_ head: HTTPResponseHead, _ body: ClientAnswer.Body) -> ClientAnswer {
        ClientAnswer(status: Int(head.status.code), headers: head.headers, body: body)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        // The rest of the answer takes longer: whoever waits is told the head, and reads the body as it comes.
        if gatherer.isGathering { handOver(context) }
    }

    private func handOver(_ context: ChannelHandlerContext) {
        guard case .answering(let exchange) = phase else { return }
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let message = gatherer.handOver(on: context.eventLoop) { change in
            let (connection, context) = bound.value
            if connection.gatherer.demandChanged(change) { return context.close(promise: nil) }
            if connection.gatherer.isReadHeld, connection.gatherer.mayRead() { context.read() }
        }
        guard let (head, parts) = message else { return }
        exchange.resume(with: .success(Self.answer(head, .parts(parts))))
    }

    func read(context: ChannelHandlerContext) {
        if gatherer.mayRead() { context.read() }
    }

    // MARK: Ends

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        fail(error)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        fail(HTTPClientError.closedEarly)
        timer?.cancel()
        context.fireChannelInactive()
    }

    private func fail(_ error: any Error) {
        switch phase {
        case .waiting(let exchange) where hasServed && !(error is HTTPParserError) && exchange.mayRepeat():
            phase = .closed
            return sendAnew(exchange)
        case .waiting(let exchange):
            exchange.resume(with: .failure(hasServed ? error : Self.explained(error)))
        case .answering(let exchange):
            gatherer.close(error)
            exchange.resume(with: .failure(error))
        case .idle, .closed: break
        }
        phase = .closed
    }

    /// What it means that a new connection failed before a byte of an answer.
    private static func explained(_ error: any Error) -> any Error {
        switch error {
        case let error as IOError where error.errnoCode == ECONNRESET || error.errnoCode == EPIPE:
            HTTPClientError.reset
        case NIOSSLError.handshakeFailed: HTTPClientError.noConnection("its TLS handshake failed")
        case is NIOSSLExtraError: HTTPClientError.noConnection("its TLS certificate is for another name")
        default: error
        }
    }

    // MARK: Between exchanges

    private func becomeIdle() {
        hasServed = true
        stayIdle()
    }

    private func stayIdle() {
        guard keepsAlive, isRequestWritten, channel.isActive else {
            phase = .closed
            return close()
        }
        phase = .idle(since: .now())
        if timer == nil { schedule(idleLimit) }
        release(self)
    }

    /// One timer a connection, set anew only when it fires.
    private func schedule(_ delay: TimeAmount) {
        let bound = NIOLoopBound(self, eventLoop: channel.eventLoop)
        timer = channel.eventLoop.scheduleTask(in: delay) { bound.value.look() }
    }

    private func look() {
        switch phase {
        case .idle(let since):
            let rest = since + idleLimit - .now()
            if rest > .zero { schedule(rest) } else { close() }
        case .waiting, .answering: schedule(idleLimit)
        case .closed: break
        }
    }
}
