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
    /// not to be reached over HTTP must not hold a slot for ever.
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
            case .answered: return .reply(Self.failed("the gateway gave another input than it had announced"))
            case .over: return .delivered
            case .failed(let reply): return .reply(reply)
            }
        }
        let attempt = Attempt(
            job: offer.job, eventID: offer.eventID, number: offer.attempt, body: .bytes(body ?? []),
            contentType: offer.contentType, call: offer.call, traceparent: offer.traceparent, timeout: offer.timeout,
            gatewayURL: offer.gatewayURL, token: offer.token, stop: stop, sent: sent
        )
        let reply = await server.answer(to: attempt, model)
        guard stop.reason == nil, case .answered(let answer) = reply, answer.bytes.count > Payload.inlineLimit
        else { return .reply(Self.carried(reply)) }
        let request = output(answer, of: offer)
        switch await exchange(offer, stop, "the answer could not be handed in at", request: request, success: 204) {
        case .answered, .over: return .delivered
        case .failed(let reply): return .reply(reply)
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
        if let type = answer.contentType { request.headers.add(name: "Content-Type", value: type) }
        if let encoding = answer.contentEncoding { request.headers.add(name: "Content-Encoding", value: encoding) }
        if let head = answer.head {
            request.headers.add(name: "X-Answer-Head", value: String(decoding: head.json, as: UTF8.self))
        }
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
        /// Whoever answered does not know the attempt.
        case refused(reason: String)
    }

    /// Tries until the gateway answers, the attempt must stop, or the patience is at its end: then the attempt has failed,
    /// and that counts.
    private func exchange(
        _ offer: JobOffer, _ stop: StopSignal, _ trouble: String, request: ClientRequest, success: Int
    ) async -> Result {
        guard !offer.gatewayURL.isEmpty else {
            return .failed(Self.failed("\(trouble) the gateway: it has no public_url; set it there"))
        }
        let begin = ContinuousClock.now
        while stop.reason == nil {
            var patience = Self.patience
            let reason: String
            switch await step(offer, stop, request, success) {
            case .done(let result): return result
            case .again(let text): reason = text
            case .refused(let text):
                reason = text
                patience = Self.refusalPatience
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
                let advice = "let the gateway's public_url lead to it"
                return .failed(Self.failed("\(trouble) \(offer.gatewayURL) (\(reason)); \(advice)"))
            }
            throttle.log(
                logger, .warning, "a large body could not be exchanged with its gateway, trying again",
                metadata: metadata
            )
            let bell = Bell()
            let deadline = wheel.ring(bell, after: Self.pause)
            stop.whenStopped { bell.ring(.stop) }
            _ = await bell.wait()
            stop.whenStopped(nil)
            wheel.cancel(deadline)
        }
        return .over
    }

    private func step(
        _ offer: JobOffer, _ stop: StopSignal, _ request: ClientRequest, _ success: Int
    ) async -> Step {
        do {
            guard let (status, bytes) = try await execute(request, upTo: max(offer.byteCount, 1 << 20), stop) else {
                return .done(.over)
            }
            switch status {
            case success: return .done(.answered(bytes))
            case 413:
                let failure = Failure(
                    .tooLarge, "the model server's answer is larger than the gateway takes", isRetryable: false)
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
        _ request: ClientRequest, upTo limit: Int, _ stop: StopSignal
    ) async throws -> (status: Int, bytes: [UInt8])? {
        let bell = Bell()
        stop.whenStopped { bell.ring(.stop) }
        defer { stop.whenStopped(nil) }
        return try await withThrowingTaskGroup(of: (Int, [UInt8])?.self) { group in
            group.addTask {
                let answer = try await http.send(request, within: Self.patience)
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
