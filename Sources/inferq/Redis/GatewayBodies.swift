import InferqCore
import InferqHTTP
import InferqQueue
import InferqRedis
import Logging
import NIOCore
import NIOHTTP1

/// The worker's way to bodies that are too large for Redis: it fetches inputs from the gateway that has the job, and hands
/// answers in there.
struct GatewayBodies: Sendable {
    let http: HTTPClient
    let wheel: TimerWheel
    let logger: Logger

    /// A body is fetched, or handed in, within this time: a gateway that restarts is back within seconds, and one that is
    /// not to be reached over HTTP must not hold a slot forever.
    private static let patience = Duration.seconds(120)
    /// What answers with a refusal is not the gateway that has the attempt, or says that the attempt is over. In the
    /// second case the gateway says so through Redis, too, within a heartbeat or two; in the first one this is how long a
    /// proxy may take to notice that its gateway has started again.
    private static let refusalPatience = Duration.seconds(5)
    /// Between two tries.
    private static let pause = Duration.seconds(1)

    private let throttle = LogThrottle()

    init(http: HTTPClient, wheel: TimerWheel, logger: Logger) {
        self.http = http
        self.wheel = wheel
        self.logger = logger
    }

    /// Makes one attempt: with the body that the offer carries or names, and its answer brought to where it belongs.
    func attempt(
        _ offer: JobOffer, _ model: ModelSettings, _ stop: StopSignal, _ sent: Bell?, _ server: ModelServer
    ) async -> RedisWorker.Ending {
        var body = offer.body
        if body == nil {
            switch await exchange(
                offer, stop, "the input could not be fetched from", request: input(of: offer), success: 200)
            {
            case .answered(let bytes) where bytes.count == offer.byteCount: body = bytes
            case .answered: return .reply(Self.failed("the gateway sent a different input than it had announced"))
            case .over: return .delivered
            case .failed(let reply): return .reply(reply)
            }
        }
        var attempt = Attempt(
            job: offer.job, eventID: offer.eventID, number: offer.attempt, body: .bytes(body ?? []),
            contentType: offer.contentType, call: offer.call, traceparent: offer.traceparent, timeout: offer.timeout,
            gatewayURL: offer.gatewayURL, token: offer.token, stop: stop, sent: sent
        )
        let courier = PieceCourier()
        let hand: PieceCourier.Hand = { try await self.hand($0, of: offer, stop, patience: $1) }
        if !offer.gatewayURL.isEmpty { attempt.pieces = PieceSink { try await courier.take($0, hand) } }
        let reply = await courier.completed(await server.answer(to: attempt, model), hand)
        guard stop.reason == nil, case .answered(let answer) = reply, answer.bytes.count > Payload.inlineLimit
        else { return .reply(Self.carried(reply)) }
        let request = output(answer, of: offer)
        switch await exchange(offer, stop, "the answer could not be delivered to", request: request, success: 204) {
        case .answered, .over: return .delivered
        case .failed(let reply): return .reply(reply)
        }
    }

    /// Brings a piece to the gateway, which has it on disk when this returns.
    ///
    /// - Returns: false when the gateway cannot be reached; then it does not have the piece.
    private func hand(
        _ piece: Piece, of offer: JobOffer, _ stop: StopSignal, patience: Duration
    ) async throws -> Bool {
        let target = "\(offer.gatewayURL)/v1/inference/\(offer.job)/output?piece=\(piece.number)&from=\(piece.start)"
        var request = ClientRequest(.POST, target)
        request.headers.add(name: "X-Notify-Token", value: offer.token)
        if let head = piece.head { request.describe(head) }
        request.body = .bytes(ByteBuffer(bytes: piece.bytes))
        let trouble = "a piece of the answer could not be delivered to"
        switch await exchange(offer, stop, trouble, request: request, success: 204, patience: patience) {
        case .answered: return true
        case .over: throw PieceRefusal.attemptOver
        case .failed: return false
        }
    }

    /// An error's answer goes through Redis, where it takes room from others: one that is larger than this is left out, and
    /// its client gets the status in our words.
    private static let errorLimit = 1 << 20

    private static func carried(_ reply: Reply) -> Reply {
        guard case .failed(let failure, let retryAfter, let answer?) = reply, answer.bytes.count > errorLimit else {
            return reply
        }
        return .failed(failure, retryAfter: retryAfter)
    }

    private func input(of offer: JobOffer) -> ClientRequest {
        var request = ClientRequest(.GET, "\(offer.gatewayURL)/v1/inference/\(offer.job)/input")
        request.headers.add(name: "X-Notify-Token", value: offer.token)
        return request
    }

    private func output(_ answer: Reply.Answer, of offer: JobOffer) -> ClientRequest {
        var request = ClientRequest(.PUT, "\(offer.gatewayURL)/v1/inference/\(offer.job)/output")
        request.headers.add(name: "X-Notify-Token", value: offer.token)
        request.describe(answer.streamHead)
        request.body = .bytes(ByteBuffer(bytes: answer.bytes))
        return request
    }

    private static func failed(_ reason: String, isRetryable: Bool = true) -> Reply {
        .failed(Failure(.badResponse, reason, isRetryable: isRetryable), retryAfter: nil)
    }

    // MARK: One exchange with a gateway

    private enum Result: Sendable {
        case answered([UInt8])
        /// The attempt was told to stop.
        case over
        case failed(Reply)
    }

    /// What one try has led to.
    private enum Step {
        case done(Result)
        /// It may go better in a moment.
        case again(reason: String)
        /// What answered does not know the attempt.
        case refused(reason: String)
    }

    /// Tries until the gateway answers, the attempt must stop, or the patience is at its end: then the attempt has failed,
    /// and that counts.
    private func exchange(
        _ offer: JobOffer, _ stop: StopSignal, _ trouble: String, request: ClientRequest, success: Int,
        patience limit: Duration = Self.patience
    ) async -> Result {
        guard !offer.gatewayURL.isEmpty else {
            return .failed(Self.failed("\(trouble) the gateway: it has no public_url; set it there"))
        }
        let begin = ContinuousClock.now
        while stop.reason == nil {
            var patience = limit
            let reason: String
            switch await step(offer, stop, request, success, within: limit - (.now - begin)) {
            case .done(let result): return result
            case .again(let text): reason = text
            case .refused(let text):
                reason = text
                patience = min(Self.refusalPatience, limit)
            }
            let metadata: Logger.Metadata = [
                "job_id": "\(offer.job)", "gateway": "\(offer.gatewayURL)", "reason": "\(reason)",
            ]
            guard ContinuousClock.now - begin < patience else {
                throttle.log(
                    logger, .warning,
                    "a large body could not be exchanged with its gateway: does its public_url lead to it?",
                    metadata: metadata
                )
                let advice = "set the gateway's public_url to an address that leads to it"
                return .failed(Self.failed("\(trouble) \(offer.gatewayURL) (\(reason)); \(advice)"))
            }
            throttle.log(
                logger, .warning, "a large body could not be exchanged with its gateway, trying again",
                metadata: metadata
            )
            let bell = Bell()
            stop.ring(bell)
            _ = await wheel.wait(at: bell, atMost: Self.pause)
            stop.leave(bell)
        }
        return .over
    }

    private func step(
        _ offer: JobOffer, _ stop: StopSignal, _ request: ClientRequest, _ success: Int, within limit: Duration
    ) async -> Step {
        do {
            guard
                let (status, bytes) = try await execute(
                    request, upTo: max(offer.byteCount, 1 << 20), stop, within: limit)
            else {
                return .done(.over)
            }
            switch status {
            case success: return .done(.answered(bytes))
            case 413:
                let failure = Failure(
                    .tooLarge, "the model server's answer is larger than the gateway accepts", isRetryable: false)
                return .done(.failed(.failed(failure, retryAfter: nil)))
            case 408, 425, 429, 500...: return .again(reason: "it answered \(status)")
            default: return .refused(reason: "it answered \(status)")
            }
        } catch {
            return .again(reason: ConnectionFailure(error).reason)
        }
    }

    /// - Returns: nil when the attempt was told to stop meanwhile.
    private func execute(
        _ request: ClientRequest, upTo limit: Int, _ stop: StopSignal, within time: Duration
    ) async throws -> (status: Int, bytes: [UInt8])? {
        let bell = Bell()
        stop.ring(bell)
        defer { stop.leave(bell) }
        return try await withThrowingTaskGroup(of: (Int, [UInt8])?.self) { group in
            group.addTask {
                let answer = try await http.send(request, within: time)
                return (answer.status, try await answer.bytes(upTo: limit))
            }
            group.addTask {
                _ = await bell.wait()
                return nil
            }
            defer { group.cancelAll() }
            return try await group.next() ?? nil
        }
    }
}

extension ClientRequest {
    /// Says of a body what the head of the model server's answer said.
    fileprivate mutating func describe(_ head: StreamHead) {
        if let type = head.contentType { headers.add(name: "Content-Type", value: type) }
        if let encoding = head.contentEncoding { headers.add(name: "Content-Encoding", value: encoding) }
        if let answer = head.answer {
            headers.add(name: "X-Answer-Head", value: String(decoding: answer.json, as: UTF8.self))
        }
    }
}
