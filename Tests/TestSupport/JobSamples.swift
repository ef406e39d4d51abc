package import InferqCore

/// Jobs and outcomes as tests need them; every value that does not matter is the same everywhere.
extension Job {
    package static let submitted = Timestamp(milliseconds: 1_800_000_000_000)

    /// - Parameters:
    ///   - number: which of the jobs of one moment; 0 to 4095.
    ///   - delay: from the submission to the earliest start.
    package static func sample(
        _ number: Int64 = 0,
        model: String = "a",
        client: String? = nil,
        priority: Int = 0,
        maxAttempts: Int = 3,
        delay: Duration = .zero,
        expiresAt: Timestamp? = nil,
        input: Payload = .json("{}"),
        batch: BatchPlace? = nil,
        at now: Timestamp = submitted
    ) -> Job {
        var options = Options()
        options.priority = priority
        options.client = client
        options.batch = batch
        let key = JobKey(value: JobKey.first(at: now).value + number)
        return Job(
            id: UUIDv7(key: key, tag: 7, random: 1),
            eventID: UUIDv7(key: key, tag: 7, random: 2),
            model: model,
            options: options,
            maxAttempts: maxAttempts,
            expiry: expiresAt.map { Expiry(at: $0, elapsed: Moment.at($0).elapsed) },
            input: input,
            start: delay > .zero ? .after(delay) : .at(now),
            now: .at(now)
        )
    }
}

extension Job {
    /// A job that a client has made in the language of OpenAI.
    package static func call(_ number: Int64 = 0) -> Job {
        let sample = Job.sample(number)
        var options = sample.options
        options.call = Call(
            method: "POST", target: "/v1/chat/completions?a=1", dialect: .openai,
            headers: [HeaderField("X-Own", "1"), HeaderField("x-own", "\"2\" é")], outlivesClient: true
        )
        return Job(
            id: sample.id, eventID: sample.eventID, model: sample.model, options: options, maxAttempts: 3,
            input: sample.input, start: .at(submitted), now: .at(submitted)
        )
    }
}

extension Payload {
    /// The answer of a model server to a call.
    package static func answer(_ status: Int, _ text: String) -> Payload {
        var payload = Payload.json(text)
        payload.head = AnswerHead(status: status, headers: [HeaderField("X-Server", "mine")])
        return payload
    }

    package static func json(_ text: String) -> Payload {
        Payload(
            content: .inline(Array(text.utf8)),
            byteCount: text.utf8.count,
            contentType: "application/json",
            form: .json
        )
    }
}

extension Outcome {
    package static func answered(_ text: String) -> Outcome {
        .answered(Answer(payload: .json(text), layers: .none))
    }

    package static func failed(isRetryable: Bool = true, retryAfter: Duration? = nil) -> Outcome {
        .failed(Failure(.timeout, "too slow", isRetryable: isRetryable), retryAfter: retryAfter)
    }
}

extension RetryPolicy {
    package static let sample = RetryPolicy(base: .seconds(1), cap: .seconds(120), maxAttempts: 3)
}

extension Moment {
    /// A moment at which all clocks say the same.
    package static func at(_ wall: Timestamp) -> Moment {
        let elapsed = Elapsed(milliseconds: wall.milliseconds)
        return Moment(wall: wall, elapsed: elapsed, certain: elapsed)
    }
}
