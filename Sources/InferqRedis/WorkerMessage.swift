import InferqCore
import InferqQueue

/// What a worker sends to a gateway, through the gateway's stream.
enum WorkerMessage: Sendable, Equatable {
    /// Asks for the job, before the model server is called.
    ///
    /// A probe was read by a worker whose model server was away.
    case take(entry: String, model: String, isProbe: Bool)
    /// The model server works on a probe.
    case shown
    /// It was read and will not be asked for: offer it again.
    case giveBack(entry: String, model: String)
    case answered(Reply.Answer)
    case failed(Failure, retryAfter: Duration?, answer: Reply.Answer? = nil)
    /// The model server did not take the call.
    case refused(Refusal)
    /// The worker stops before the attempt has ended.
    case interrupted(reason: String)
}

extension WorkerMessage {
    /// The command that sends it.
    func command(_ keys: RedisKeys, _ name: AttemptName, worker: String) -> RedisCommand {
        var command = RedisCommand(
            "XADD", keys.inbox(ofGateway: name.gateway), "*", "worker", worker, "job", name.job.description,
            "lease", String(name.lease.number)
        )
        func add(_ fields: KeyValuePairs<String, String?>) {
            for (name, value) in fields {
                guard let value else { continue }
                command.add(name)
                command.add(value)
            }
        }
        switch self {
        case .take(let entry, let model, let isProbe):
            add(["word": "take", "entry": entry, "model": model, "probe": isProbe ? "1" : nil])
        case .shown: add(["word": "shown"])
        case .giveBack(let entry, let model): add(["word": "give-back", "entry": entry, "model": model])
        case .answered(let answer):
            add(["word": "answered"])
            Self.add(answer, to: &command)
        case .failed(let failure, let retryAfter, let answer):
            add(Self.fields("failed", failure, retryAfter))
            if let answer { Self.add(answer, to: &command) }
        case .refused(let refusal):
            add(Self.fields("refused", refusal.failure, refusal.retryAfter))
            add(["kind": refusal.kind.rawValue])
        case .interrupted(let reason): add(["word": "interrupted", "reason": reason])
        }
        return command
    }

    private static func add(_ answer: Reply.Answer, to command: inout RedisCommand) {
        let texts = [("type", answer.contentType), ("encoding", answer.contentEncoding)]
        for case (let name, let text?) in texts {
            command.add(name)
            command.add(text)
        }
        if let head = answer.head {
            command.add("head")
            command.add(head.json)
        }
        if let stream = answer.stream {
            command.add("streamed")
            command.add(String(stream.byteCount))
            command.add("sha256")
            command.add(stream.digest)
        } else {
            command.add("body")
            command.add(answer.bytes)
        }
    }

    /// Nil without a body, and without word of one that the gateway has as it came.
    private static func answer(_ entry: StreamEntry) -> Reply.Answer? {
        let stream = entry.integer("streamed", in: 1...Int.max).flatMap { count in
            entry.bytes("sha256").map { Reply.Answer.Stream(byteCount: count, digest: $0, rest: nil) }
        }
        guard let bytes = entry.bytes("body") ?? stream.map({ _ in [] }), stream.map({ $0.digest.count == 32 }) != false
        else { return nil }
        let head = entry.bytes("head").flatMap(AnswerHead.init(json:))
        guard head?.isWellFormed != false else { return nil }
        var answer = Reply.Answer(
            bytes, contentType: entry.text("type", upTo: 8192), contentEncoding: entry.text("encoding"),
            head: head
        )
        answer.stream = stream
        return answer
    }

    private static func fields(
        _ word: String, _ failure: Failure, _ retryAfter: Duration?
    ) -> KeyValuePairs<String, String?> {
        [
            "word": word, "code": failure.code.rawValue, "message": failure.message,
            "retryable": failure.isRetryable ? "1" : "0", "status": failure.status.map { String($0) },
            "answer": failure.body, "retry_after_ms": retryAfter.map { String(max(0, $0.milliseconds)) },
        ]
    }

    /// Whether an entry tells how an attempt ended.
    static func isOutcome(_ entry: StreamEntry) -> Bool {
        ["answered", "failed", "refused", "interrupted"].contains(entry.text("word"))
    }

    /// Nil for what no worker of this version has written.
    init?(_ entry: StreamEntry) {
        switch entry.text("word") {
        case "take", "give-back":
            guard let id = entry.text("entry"), StreamID(id) != nil, let model = entry.text("model", upTo: 128) else {
                return nil
            }
            let isProbe = entry.text("probe") == "1"
            let isTake = entry.text("word") == "take"
            self = isTake ? .take(entry: id, model: model, isProbe: isProbe) : .giveBack(entry: id, model: model)
        case "shown": self = .shown
        case "answered":
            guard let answer = Self.answer(entry) else { return nil }
            self = .answered(answer)
        case "failed", "refused":
            guard let failure = Self.failure(entry) else { return nil }
            var retryAfter: Duration?
            if entry.has("retry_after_ms") {
                guard let pause = entry.integer("retry_after_ms", in: 0...Int.max) else { return nil }
                retryAfter = min(.milliseconds(pause), RetryPolicy.longestRetryAfter)
            }
            if entry.text("word") == "failed" {
                self = .failed(failure, retryAfter: retryAfter, answer: Self.answer(entry))
            } else {
                guard let kind = entry.text("kind").flatMap(Refusal.Kind.init) else { return nil }
                self = .refused(Refusal(kind, failure, retryAfter: retryAfter))
            }
        case "interrupted": self = .interrupted(reason: entry.text("reason") ?? "the worker stopped")
        default: return nil
        }
    }

    private static func failure(_ entry: StreamEntry) -> Failure? {
        guard let code = entry.text("code").flatMap(Failure.Code.init), Self.codes.contains(code),
            let message = entry.prose("message", upTo: 4096)
        else { return nil }
        var status: Int?
        if entry.has("status") {
            guard let number = entry.integer("status", in: 100...999) else { return nil }
            status = number
        }
        return Failure(
            code, message, isRetryable: entry.text("retryable") == "1", status: status,
            body: entry.prose("answer", upTo: Self.answerLimit)
        )
    }

    /// What an attempt can come to. The others are the gateway's to say.
    private static let codes: Set<Failure.Code> = [
        .connectFailed, .badResponse, .httpError, .streamError, .timeout, .tooLarge,
    ]
    /// 4 KiB of an answer, of which each byte may have become a replacement character.
    private static let answerLimit = 3 * 4096
}
