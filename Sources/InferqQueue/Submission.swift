/// What a client asks for, checked and complete.
package struct Submission: Sendable {
    package var model: String
    package var options: Options
    package var input: Payload
    package var key: IdempotencyKey?

    package struct Options: Sendable, Equatable {
        package var priority = 0
        /// Nil: at once, or after ``delay``.
        package var runAt: Timestamp?
        package var delay: Duration?
        package var expiresIn: Duration?
        package var timeout: Duration?
        /// Nil: the model's own.
        package var maxAttempts: Int?
        package var metadata: [UInt8] = []
        package var traceparent: String?
        package var retryOf: UUIDv7?

        package init() {}
    }

    package init(model: String, options: Options, input: Payload) {
        self.model = model
        self.options = options
        self.input = input
    }

    func job(_ issue: IDGenerator.Issue, maxAttempts: Int) -> Job {
        let now = issue.moment
        var chosen = Job.Options(maxAttempts: options.maxAttempts ?? maxAttempts)
        chosen.priority = options.priority
        chosen.expiry = options.expiresIn.map { Job.Expiry(in: $0, from: now) }
        chosen.timeout = options.timeout
        chosen.metadata = options.metadata
        chosen.traceparent = options.traceparent
        chosen.retryOf = options.retryOf
        return Job(
            id: issue.id,
            eventID: issue.eventID,
            model: model,
            options: chosen,
            input: input,
            start: options.delay.map { .after($0) } ?? .at(options.runAt ?? now.wall),
            now: now
        )
    }
}
