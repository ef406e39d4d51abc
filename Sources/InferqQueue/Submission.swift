package import InferqCore
import InferqStore

/// What a client asks for, checked and complete.
package struct Submission: Sendable {
    package var model: String
    package var options: Options
    package var input: Payload
    package var key: IdempotencyKey?
    /// Of a call: what its client authorizes itself with at the model server. Never stored.
    package var authorization: String?
    /// Who submits.
    package var caller = Caller.anonymous

    /// Whose job it becomes: the caller's, but a retry stays with the client of the job that it repeats.
    var client: String? { options.kept.retryOf == nil ? caller.client : options.kept.client }

    /// What the job's client is held to; nil when somebody else repeats its job: an operator may, whatever is pending.
    var limits: Caller.Limits? { caller.client == client ? caller.limits : nil }

    package struct Options: Sendable, Equatable {
        /// What the job keeps as it is.
        package var kept = Job.Options()
        /// Nil: at once.
        package var start: Job.Start?
        /// Nil: never.
        package var expiresIn: Duration?
        /// Nil: the model's own.
        package var maxAttempts: Int?

        package init() {}
    }

    package init(model: String, options: Options, input: Payload) {
        self.model = model
        self.options = options
        self.input = input
    }

    /// - Parameter settings: the model's, for what the client has not said.
    func job(_ issue: IDGenerator.Issue, _ settings: ModelSettings) -> Job {
        let now = issue.moment
        var kept = options.kept
        kept.client = client
        return Job(
            id: issue.id,
            eventID: issue.eventID,
            model: model,
            options: kept,
            maxAttempts: options.maxAttempts ?? settings.maxAttempts,
            expiry: (options.expiresIn ?? settings.expiresIn).map { Job.Expiry(in: $0, from: now) },
            input: input,
            start: options.start ?? .at(now.wall),
            now: now
        )
    }
}
