import DequeModule
import NIOCore
import NIOHTTP1

/// The state of one client's connection, as a value without I/O or a clock: each event returns the action to take.
///
/// ``ConnectionGuard`` reports the events and performs the actions. The state enforces the limits of a connection: total
/// deadlines for heads and bodies (an idle timer restarts at every byte, so a dribbling client passes it), refusals by
/// ``HeadCheck``, input that cannot be parsed, and when and how the connection ends.
struct ConnectionState {
    /// What becomes of a part of a request.
    enum RequestAction {
        case pass
        /// The head, as routes get it.
        case passHead(HTTPRequestHead)
        /// The request's end, at which the decoder stops: a new one reads what follows.
        case passEndAndRenewDecoder
        /// Answer with the error at once, and linger.
        case refuse(APIError)
        /// Nothing is read any more.
        case drop
    }

    /// What becomes of a part of an answer.
    enum AnswerAction {
        case write
        /// The part holds the end of the answer. ``ConnectionState/taken(now:)`` follows once the kernel has it, or never
        /// will.
        ///
        /// - isWritten: false for the answer to a HEAD: it announces a body and does not have one, and the encoder would
        ///   end it in chunks.
        case writeEnd(isWritten: Bool)
        /// The connection has had its last answer.
        case drop
    }

    /// What becomes of what the decoder cannot read.
    enum ErrorAction {
        /// Answer with the error, linger, and end the route that waits for the body.
        case refuse(APIError)
        /// End the route that waits for the body.
        case pass
        case drop
    }

    enum TickAction {
        /// Until ``ConnectionState/nextTick(after:)``.
        case wait
        case close
        case refuse(APIError)
        /// As ``refuse(_:)``, and end the route that waits for the body: it must not take a part for the whole.
        case refuseBody(APIError)
    }

    enum Action {
        case none
        case close
        /// Close our side, and tick again: the whole connection is closed a little later. A close with bytes unread would
        /// be a reset, which can destroy the answer on its way (RFC 9112, section 9.6).
        case linger
    }

    /// What comes in; requests that were read and wait for their answers are counted apart.
    private enum Phase {
        /// No request; the first byte of the next one has not come.
        case idle(since: NIODeadline)
        /// No request but the one whose head is on its way, or, on a new connection, is waited for.
        case head(since: NIODeadline, HeadBeginning)
        /// Of the newest request, which may have had its answer by now.
        case body(ArrivingBody)
        /// The newest request is complete, and has not had its answer.
        case answering
        /// Something came behind requests that wait for their answers, and was refused or cannot be read: they have their
        /// answers, in place of which no other may come, and the connection ends. What still comes is thrown away.
        case finishing
        /// The last answer was written; the kernel has not taken all of it. What still comes is thrown away.
        case ending(since: NIODeadline)
        /// Our side is closed.
        case lingering(until: NIODeadline)
    }

    /// A request whose answer has not ended: what the answer must know of it.
    private struct Unanswered {
        let isHTTP10: Bool
        let isHead: Bool
        /// Whether the head of the answer was written.
        var isBegun = false
    }

    /// What follows once every request has its answer, to the last byte.
    private enum Sequel {
        case nextRequest
        /// The client has closed its side.
        case close
        case linger
        /// The service is stopping, and the connection had no request then: it gets a last second to send one that was on
        /// its way. After a request: as ``linger``.
        case lastSecond(until: NIODeadline)
        /// The service is stopping. A body that is still on its way, or an answer that is not read, is given up then: a
        /// client must not hold up the stop for as long as its rate would let it.
        case stop(by: NIODeadline)

        var isEnd: Bool {
            switch self {
            case .nextRequest, .close: false
            case .linger, .lastSecond, .stop: true
            }
        }
    }

    private static let lingerTime = TimeAmount.seconds(1)
    private static let patienceAtStop = TimeAmount.seconds(5)

    private let settings: HTTPSettings
    private var phase: Phase
    private var sequel = Sequel.nextRequest
    /// In their order.
    private var unanswered: Deque<Unanswered> = []
    /// Answers that were written to their end, which the kernel has not taken yet: a close would cut them off.
    private var untakenEnds = 0

    init(settings: HTTPSettings, now: NIODeadline) {
        self.settings = settings
        phase = .head(since: now, .empty)
    }

    /// The connection is open: its first head has its time from now on.
    mutating func opened(now: NIODeadline) {
        phase = .head(since: now, .empty)
    }

    /// Whether every request has its answer, to the last byte.
    private var isAnswered: Bool { unanswered.isEmpty && untakenEnds == 0 }

    /// The connection ends with the answers to what has come.
    private mutating func endAfterAnswers() {
        if !sequel.isEnd { sequel = .linger }
    }
}

// MARK: Requests

extension ConnectionState {
    /// Bytes have come, which the decoder is about to read: it keeps a head to itself until that is complete.
    mutating func arrived(_ bytes: ByteBuffer, now: @autoclosure () -> NIODeadline) -> Action {
        switch phase {
        case .idle:
            var beginning = HeadBeginning.empty
            beginning.read(bytes.readableBytesView)
            phase = .head(since: now(), beginning)
        case .head(let since, var beginning):
            beginning.read(bytes.readableBytesView)
            phase = .head(since: since, beginning)
        case .body(var body):
            body.arrived(byteCount: bytes.readableBytes)
            phase = .body(body)
            if body.isFlooded { return .close }
        case .answering, .finishing, .ending, .lingering: break
        }
        return .none
    }

    mutating func request(_ part: HTTPServerRequestPart, now: @autoclosure () -> NIODeadline) -> RequestAction {
        switch phase {
        case .finishing, .ending, .lingering: return .drop
        case .idle, .head, .body, .answering: break
        }
        switch part {
        case .head(let head): return self.head(head, now: now())
        case .body(let bytes):
            if case .body(var body) = phase {
                body.decoded(byteCount: bytes.readableBytes)
                phase = .body(body)
            }
            return .pass
        case .end:
            var isLastOfDecoder = false
            if case .body(let body) = phase { isLastOfDecoder = body.offersUpgrade }
            // Some answers do not wait for the body: then nothing is left to answer.
            phase = unanswered.isEmpty ? .idle(since: now()) : .answering
            return isLastOfDecoder ? .passEndAndRenewDecoder : .pass
        }
    }

    private mutating func head(_ head: HTTPRequestHead, now: NIODeadline) -> RequestAction {
        var head = head
        let isHTTP10 = head.version.major == 1 && head.version.minor == 0
        unanswered.append(Unanswered(isHTTP10: isHTTP10, isHead: head.method == .HEAD))
        // After the last request there is nothing to read, whatever it offers.
        let offer = head.isKeepAlive ? UpgradeOffer(head.headers) : .none
        if !head.isKeepAlive || offer == .odd { endAfterAnswers() }
        // Expectations came with HTTP/1.1 (RFC 9110, section 10.1.1).
        let expects = head.headers.contains(name: "expect")
        if expects, isHTTP10 { head.headers.remove(name: "expect") }
        if let error = HeadCheck.problem(with: head, settings) {
            guard unanswered.count > 1 else { return .refuse(refused(error, now: now)) }
            finish()
            return .drop
        }
        phase = .body(
            ArrivingBody(since: now, offersUpgrade: offer == .plain, awaitsInvitation: expects && !isHTTP10)
        )
        return expects && isHTTP10 ? .passHead(head) : .pass
    }

    /// Answers what came before the newest request, and no more.
    private mutating func finish() {
        unanswered.removeLast()
        endAfterAnswers()
        phase = .finishing
    }

    /// - Parameter bytes: what the decoder was reading.
    mutating func unreadable(
        _ error: HTTPParserError, in bytes: ByteBuffer, now: @autoclosure () -> NIODeadline
    ) -> ErrorAction {
        let isMethod: Bool
        switch phase {
        case .finishing, .ending, .lingering: return .drop
        case .answering:
            // What cannot be read comes after a request that was read well, and that has its answer first.
            endAfterAnswers()
            return .drop
        case .head(_, let beginning): isMethod = beginning == .request
        case .idle, .body: isMethod = false
        }
        if unanswered.count > 1 {
            finish()
            return .pass
        }
        if unanswered.first?.isBegun == true {
            // A second answer could not be told from the one that is on its way.
            endAfterAnswers()
            return .pass
        }
        let refusal: APIError
        switch error {
        case .headerOverflow: refusal = .headTooLarge
        case .invalidMethod where isMethod: refusal = .unknownMethod
        case .invalidContentLength where HeadCheck.announcesTooMuch(bytes):
            refusal = .bodyTooLarge(limit: settings.maxBody, setting: "max_body")
        default: refusal = .malformed(MalformedHTTP(error, in: bytes))
        }
        return .refuse(refused(refusal, now: now()))
    }

    /// The client has closed its side.
    mutating func inputClosed() -> Action {
        if isAnswered { return .close }
        if !sequel.isEnd { sequel = .close }
        return .none
    }

    private mutating func refused(_ error: APIError, now: NIODeadline) -> APIError {
        unanswered = []
        phase = .lingering(until: now + Self.lingerTime)
        return error
    }
}

// MARK: Answers

extension ConnectionState {
    /// - Parameter part: its head becomes the one that the client gets.
    mutating func answer(_ part: inout AnswerPart, now: @autoclosure () -> NIODeadline) -> AnswerAction {
        switch phase {
        case .ending, .lingering: return .drop
        case .idle, .head, .body, .answering, .finishing: break
        }
        if let head = part.head { part.head = answer(head) }
        return part.isEnd ? answerEnd(now: now()) : .write
    }

    /// - Returns: the head as the client gets it.
    private mutating func answer(_ head: ResponseHead) -> ResponseHead {
        guard head.status.code >= 200 else {
            if case .body(var body) = phase {
                body.invited()
                phase = .body(body)
            }
            return head
        }
        let isNewest = unanswered.count <= 1
        // Whether the body of a client that was not invited comes all the same, no one can tell.
        if case .body(let body) = phase, body.awaitsInvitation, isNewest { endAfterAnswers() }
        if head.isLast || endsWithConnection(head) {
            endAfterAnswers()
            // Requests behind this one get no answer (RFC 9112, section 9.6).
            if !isNewest {
                unanswered.removeLast(unanswered.count - 1)
                phase = .finishing
            }
        }
        var head = head
        // A client reads nothing after an answer that says so: of several only the last one does.
        if sequel.isEnd, isNewest { head.isLast = true }
        guard !unanswered.isEmpty else { return head }
        unanswered[0].isBegun = true
        if unanswered[0].isHTTP10 { head.isHTTP10 = true }
        return head
    }

    /// Whether only the end of the connection tells the client where the body of this answer ends: HTTP/1.0 has no chunks.
    private func endsWithConnection(_ head: ResponseHead) -> Bool {
        guard let request = unanswered.first, request.isHTTP10, !request.isHead else { return false }
        return head.mayHaveBody && head.length == nil
    }

    private mutating func answerEnd(now: @autoclosure () -> NIODeadline) -> AnswerAction {
        let answered = unanswered.popFirst()
        untakenEnds += 1
        if unanswered.isEmpty {
            if sequel.isEnd {
                let now = now()
                phase = .ending(since: now)
                if case .stop = sequel { sequel = .stop(by: now + Self.patienceAtStop) }
            } else if case .answering = phase {
                phase = .idle(since: now())
            }
        }
        return .writeEnd(isWritten: answered?.isHead != true)
    }

    /// Whether a close is the only sign of the end of the answer that is on its way, so that one in its middle must be a
    /// reset: nothing else tells the client that it has a part.
    var isCutByReset: Bool { unanswered.first.map { $0.isHTTP10 && $0.isBegun } ?? false }

    /// The kernel has the end of an answer, or never will.
    mutating func taken(now: @autoclosure () -> NIODeadline) -> Action {
        untakenEnds -= 1
        if case .lingering = phase { return .none }
        guard isAnswered else { return .none }
        switch sequel {
        case .nextRequest: return .none
        case .close: return .close
        case .linger, .lastSecond, .stop:
            phase = .lingering(until: now() + Self.lingerTime)
            return .linger
        }
    }
}

// MARK: Time

extension ConnectionState {
    /// The service is stopping; the next tick is another one from now on.
    mutating func quiesce(now: NIODeadline) {
        sequel = isAnswered ? .lastSecond(until: now + Self.lingerTime) : .stop(by: now + Self.patienceAtStop)
    }

    /// When ``tick(now:)`` is due, if no event has asked for another time meanwhile: a request that comes in one read moves
    /// no timers.
    func nextTick(after now: NIODeadline) -> NIODeadline {
        switch (phase, sequel) {
        case (.lingering(let until), _): until
        case (_, .lastSecond(let until)): until
        case (_, .stop): now + .seconds(1)
        case (.idle(let since), _): max(since + settings.idleTimeout.timeAmount, now + .milliseconds(10))
        case (.head(let since, _), _): max(since + settings.headTimeout.timeAmount, now + .milliseconds(10))
        case (.body(let body), _): max(body.judged, now + .seconds(1))
        case (.answering, _), (.finishing, _), (.ending, _): now + .seconds(1)
        }
    }

    /// Whether a head or a body is left unfinished by a read: then its time may be over before the tick that was due.
    var isArriving: Bool {
        switch phase {
        case .head, .body: true
        case .idle, .answering, .finishing, .ending, .lingering: false
        }
    }

    mutating func tick(now: NIODeadline) -> TickAction {
        switch (phase, sequel) {
        case (.lingering(let until), _): return now >= until ? .close : .wait
        case (_, .lastSecond(let until)) where now >= until:
            if isAnswered { return .close }
            sequel = .stop(by: until + Self.patienceAtStop)
            return .wait
        case (_, .stop(let limit)) where now >= limit && unanswered.isEmpty: return .close
        case (.idle(let since), _), (.ending(let since), _):
            return now >= since + settings.idleTimeout.timeAmount ? .close : .wait
        case (.head(let since, _), _):
            guard now >= since + settings.headTimeout.timeAmount else { return .wait }
            return .refuse(refused(.headTimeout, now: now))
        case (.body(let body), let sequel):
            var isOver = body.isSlow(now: now, minRate: settings.bodyMinRate)
            if case .stop(let limit) = sequel, now >= limit { isOver = true }
            guard isOver else { return .wait }
            guard unanswered.count == 1, unanswered.first?.isBegun == false else { return .close }
            return .refuseBody(refused(.bodyTimeout, now: now))
        case (.answering, _), (.finishing, _): return .wait
        }
    }
}
