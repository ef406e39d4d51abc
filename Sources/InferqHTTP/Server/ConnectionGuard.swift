import DequeModule
import HTTPTypes
import InferqCore
import NIOCore
import NIOHTTP1

/// Keeps one connection within its limits and the framework's errors in our form.
///
/// It stands between NIO's HTTP decoder and the rest, so it sees each head before a route does: the total deadlines of
/// heads and bodies (an idle timer restarts at every byte, and a dribbling client passes it), sizes, more than one
/// `Host`, and what the decoder could not read. All state belongs to the channel's event loop.
final class ConnectionGuard: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    private enum Phase {
        /// No request; the first byte of the next one has not come.
        case idle(since: NIODeadline)
        /// Bytes of a head have come, the head is not complete.
        case head(since: NIODeadline)
        case body(since: NIODeadline, byteCount: Int)
        /// The request is complete and is being answered.
        case answering
        /// An answer that ends the connection was written; what still comes is thrown away.
        case closing(since: NIODeadline)
    }

    private let connection: Connection
    private let settings: HTTPSettings
    private let decoder: RequestDecoder
    private var phase: Phase
    /// What the answer to a request must know of it.
    private struct Asked {
        let isHTTP10: Bool
        let isHead: Bool
    }

    /// Requests whose answer has not ended, in their order.
    private var asked: Deque<Asked> = []
    private var hasBegunAnswer = false
    private var closesAfterAnswer = false
    /// Answers that were written to their end, which the kernel has not taken yet: a close would cut them off.
    private var pendingEnds = 0
    private var isInputClosed = false
    /// The beginning of the head that is on its way, to tell a method that nobody knows from what is no HTTP.
    private var beginning: [UInt8] = []
    /// What the decoder is reading.
    private var arriving = ByteBuffer()
    /// As they came, with all that frames them; those that came with the head are left out.
    private var bytesOfBody = 0
    /// Of the request that is on its way.
    private var upgradeOffer = UpgradeOffer.none
    /// The client waits for "100 Continue" before it sends the body.
    private var awaitsInvitation = false
    /// When a body that is still on its way, or an answer that is not read, is given up, because the service stops.
    private var lastMoment: NIODeadline?
    private static let patienceAtStop = TimeAmount.seconds(5)
    private var timer: Scheduled<Void>?

    init(connection: Connection, settings: HTTPSettings, decoder: RequestDecoder) {
        self.connection = connection
        self.settings = settings
        self.decoder = decoder
        phase = .head(since: .now())
    }

    func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { schedule(context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        phase = .head(since: .now())
        if timer == nil { schedule(context) }
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        timer?.cancel()
        connection.hungUp()
        context.fireChannelInactive()
    }

    /// Told by ``FirstByteWatch``, which sees bytes before the decoder does.
    ///
    /// - Returns: false when a body has come with so much beside it (extensions of chunks, trailers, which no other
    ///   limit sees) that it is an attack. Chunks of one byte have five bytes beside each.
    func bytesArrived(_ bytes: ByteBuffer) -> Bool {
        arriving = bytes
        switch phase {
        case .idle:
            phase = .head(since: .now())
            beginning = Array(bytes.readableBytesView.prefix(Self.beginningLimit))
        case .head:
            let room = Self.beginningLimit - beginning.count
            if room > 0 { beginning += bytes.readableBytesView.prefix(room) }
        case .body(_, let byteCount):
            bytesOfBody += bytes.readableBytes
            return bytesOfBody - byteCount <= (256 << 10) + 16 * byteCount
        case .answering, .closing: break
        }
        return true
    }

    /// The decoder has read what arrived.
    func bytesRead() {
        arriving = ByteBuffer()
    }

    private static let beginningLimit = 64

    /// Whether the head begins as a request does: a method, which is a token (RFC 9110, section 5.6.2), and a path.
    private var beginsWithMethod: Bool {
        let method = beginning.prefix { $0.isTokenCharacter }
        let rest = beginning.dropFirst(method.count).prefix(2)
        return !method.isEmpty && (rest.elementsEqual(Array(" /".utf8)) || rest.elementsEqual(Array(" *".utf8)))
    }

    // MARK: Requests

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if case .closing = phase { return }
        let part = unwrapInboundIn(data)
        switch part {
        case .head(var head):
            beginning = []
            let isHTTP10 = head.version.major == 1 && head.version.minor == 0
            asked.append(Asked(isHTTP10: isHTTP10, isHead: head.method == .HEAD))
            // After the last request there is nothing to read, whatever it offers.
            upgradeOffer = head.isKeepAlive ? UpgradeOffer(head.headers) : .none
            if !head.isKeepAlive || upgradeOffer == .odd { closesAfterAnswer = true }
            // Expectations came with HTTP/1.1 (RFC 9110, section 10.1.1).
            if isHTTP10 { head.headers.remove(name: "expect") }
            awaitsInvitation = head.headers.contains(name: "expect")
            if let error = HeadCheck.problem(with: head, settings) {
                return refuse(error, context, instance: String(head.uri.prefix { $0 != "?" }.prefix(256)))
            }
            bytesOfBody = 0
            phase = .body(since: .now(), byteCount: 0)
            return context.fireChannelRead(wrapInboundOut(.head(head)))
        case .body(let bytes):
            if case .body(let since, let count) = phase {
                phase = .body(since: since, byteCount: count + bytes.readableBytes)
            }
        // Some answers do not wait for the body: then nothing is left to answer.
        case .end:
            if upgradeOffer == .plain { decoder.offeringRequestEnded() }
            phase = asked.isEmpty ? .idle(since: .now()) : .answering
        }
        context.fireChannelRead(data)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let error = error as? HTTPParserError else {
            connection.hungUp()
            return context.close(promise: nil)
        }
        if case .closing = phase { return }
        if case .answering = phase {
            // What cannot be read comes after a request that was read well, and that has its answer first.
            closesAfterAnswer = true
            return
        }
        if asked.count > 1 || hasBegunAnswer {
            // An answer to an earlier request is on its way: a second one could not be told from it.
            closesAfterAnswer = true
        } else {
            switch error {
            case .headerOverflow: refuse(.headTooLarge, context)
            case .invalidMethod where beginsWithMethod: refuse(.unknownMethod, context)
            case .invalidContentLength where HeadCheck.announcesTooMuch(arriving):
                refuse(.bodyTooLarge(limit: settings.maxBody), context)
            default: refuse(.malformedHTTP, context)
            }
        }
        // Ends the route that waits for a body.
        context.fireErrorCaught(error)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case ChannelEvent.inputClosed:
            connection.hungUp()
            isInputClosed = true
            if isIdle { context.close(promise: nil) }
        case is ChannelShouldQuiesceEvent:
            closesAfterAnswer = true
            quiesce(context)
        default: break
        }
        context.fireUserInboundEventTriggered(event)
    }

    /// The service is stopping: a connection without a request gets a last second to send one that was on its way.
    private func quiesce(_ context: ChannelHandlerContext) {
        guard isIdle else {
            // A client must not hold up the stop for as long as its rate would let it.
            lastMoment = .now() + Self.patienceAtStop
            timer?.cancel()
            return schedule(context)
        }
        timer?.cancel()
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        timer = context.eventLoop.scheduleTask(in: .seconds(1)) {
            let (handler, context) = bound.value
            if handler.isIdle { context.close(promise: nil) } else { handler.schedule(context) }
        }
    }

    /// Whether every request has its answer, to the last byte.
    private var isIdle: Bool { asked.isEmpty && pendingEnds == 0 }

    // MARK: Answers

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if case .closing = phase {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        switch unwrapOutboundIn(data) {
        case .head(let head) where head.status.code < 200:
            awaitsInvitation = false
            context.write(data, promise: promise)
        case .head(var head):
            hasBegunAnswer = true
            // Whether the body of a client that was not invited comes all the same, nobody can tell.
            if awaitsInvitation, case .body = phase { closesAfterAnswer = true }
            if head.headers.contains(name: "connection"), head.headers["connection"].contains("close") {
                closesAfterAnswer = true
            } else if closesAfterAnswer {
                head.headers.replaceOrAdd(name: "connection", value: "close")
            }
            // Without chunks the end of the connection is the end of the body.
            if asked.first?.isHTTP10 == true { head.version = .http1_0 }
            context.write(wrapOutboundOut(.head(head)), promise: promise)
        case .end where asked.first?.isHead == true:
            // The encoder would end a body in chunks, which the answer to a HEAD announces and does not have.
            promise?.succeed()
            ended()
            endTaken(context)
        case .end:
            let isTaken = promise ?? context.eventLoop.makePromise(of: Void.self)
            ended()
            isTaken.futureResult.assumeIsolated().whenComplete { _ in self.endTaken(context) }
            context.write(data, promise: isTaken)
        default: context.write(data, promise: promise)
        }
    }

    /// An answer is written to its end.
    private func ended() {
        pendingEnds += 1
        _ = asked.popFirst()
        hasBegunAnswer = false
        guard asked.isEmpty else { return }
        if closesAfterAnswer {
            phase = .closing(since: .now())
            if lastMoment != nil { lastMoment = .now() + Self.patienceAtStop }
        } else if case .answering = phase {
            phase = .idle(since: .now())
        }
    }

    /// The kernel has it, or never will.
    private func endTaken(_ context: ChannelHandlerContext) {
        pendingEnds -= 1
        guard isIdle else { return }
        if closesAfterAnswer {
            linger(context)
        } else if isInputClosed {
            context.close(promise: nil)
        }
    }

    private func refuse(_ error: APIError, _ context: ChannelHandlerContext, instance: String? = nil) {
        let document = error.document(instance: instance)
        var headers = HTTPHeaders([
            ("content-type", "application/problem+json"), ("content-length", String(document.readableBytes)),
            ("connection", "close"), ("cache-control", "no-store"),
        ])
        for field in error.headers { headers.replaceOrAdd(name: field.name.rawName, value: field.value) }
        let head = HTTPResponseHead(
            version: .http1_1,
            status: HTTPResponseStatus(statusCode: error.status.code, reasonPhrase: error.status.reasonPhrase),
            headers: headers
        )
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(document))), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        asked = []
        linger(context)
    }

    /// Closes our side, and the whole connection a little later: a close with bytes unread would be a reset, which can
    /// destroy the answer on its way (RFC 9112, section 9.6).
    private func linger(_ context: ChannelHandlerContext) {
        phase = .closing(since: .now())
        context.flush()
        timer?.cancel()
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.close(mode: .output, promise: nil)
        timer = context.eventLoop.scheduleTask(in: .seconds(1)) { bound.value.close(promise: nil) }
    }

    // MARK: Deadlines

    /// One timer a connection, set anew only when it fires: a request moves no timers.
    private func schedule(_ context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        timer = context.eventLoop.scheduleTask(in: nextLook) {
            let (handler, context) = bound.value
            handler.look(context)
        }
    }

    private var nextLook: TimeAmount {
        guard lastMoment == nil else { return .seconds(1) }
        let now = NIODeadline.now()
        switch phase {
        case .idle(let since): return max(since + settings.idleTimeout.timeAmount - now, .milliseconds(10))
        case .head(let since): return max(since + settings.headTimeout.timeAmount - now, .milliseconds(10))
        case .body, .answering, .closing: return .seconds(1)
        }
    }

    private func look(_ context: ChannelHandlerContext) {
        let now = NIODeadline.now()
        if asked.isEmpty, let lastMoment, now >= lastMoment { return context.close(promise: nil) }
        switch phase {
        case .idle(let since) where now >= since + settings.idleTimeout.timeAmount,
            .closing(let since) where now >= since + settings.idleTimeout.timeAmount:
            return context.close(promise: nil)
        case .head(let since) where now >= since + settings.headTimeout.timeAmount:
            return refuse(.headTimeout, context)
        case .body(let since, let count):
            // Ten seconds are free; past them every second must have brought its share.
            let seconds = Int((now - since).nanoseconds / 1_000_000_000)
            let isSlow = seconds > 10 && count < (seconds - 10) * settings.bodyMinRate
            if isSlow || lastMoment.map({ now >= $0 }) ?? false {
                if asked.count == 1, !hasBegunAnswer {
                    refuse(.bodyTimeout, context)
                    // Ends the route that waits for the body, which must not take what has come for all of it.
                    return context.fireErrorCaught(HTTPParserError.invalidEOFState)
                }
                return context.close(promise: nil)
            }
        case .idle, .head, .answering, .closing: break
        }
        schedule(context)
    }
}

extension Duration {
    var timeAmount: TimeAmount {
        .milliseconds(milliseconds)
    }
}
