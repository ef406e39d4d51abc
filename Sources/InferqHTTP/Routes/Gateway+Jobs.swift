import InferqCore
import InferqQueue
import InferqStore

/// Jobs, for anyone who may see them. Routes that are asked for a job by a client read it here and nowhere else.
extension Gateway {
    /// The job with this `id`, its bodies read as far as they are in its row.
    ///
    /// - Throws: 404, the same for one that is another client's and one that never was; 410.
    func job(_ id: UUIDv7, for caller: Caller) async throws -> Job {
        guard let job = try await store.job(id) else { throw try await missing(id, caller) }
        guard caller.sees(job.options.client) else { throw try await missing(id, caller) }
        return job
    }

    /// As ``job(_:for:)``, the bodies unread.
    func head(_ id: UUIDv7, for caller: Caller) async throws -> Job {
        guard let job = try await store.head(id) else { throw try await missing(id, caller) }
        guard caller.sees(job.options.client) else { throw try await missing(id, caller) }
        return job
    }

    /// Whose events this `event_id`, or `id` of a job, names.
    func course(named id: UUIDv7, for caller: Caller) async throws -> JobCourse {
        guard let course = try await store.course(named: id), caller.sees(course.client) else {
            throw try await missing(id, caller)
        }
        return course
    }

    /// Before a job is cancelled, deleted or retried: one's own by the scope of the route, everyone's by `operate`.
    ///
    /// - Throws: 404, or 403 for another client's that the caller sees.
    func checkMayChange(_ id: UUIDv7, _ context: GatewayContext) async throws {
        let caller = context.caller
        if caller.scopes.contains(.operate) { return }
        let job = try await head(id, for: caller)
        guard job.options.client == caller.client else { throw APIError.scopeMissing(.operate, of: caller) }
    }

    /// Before a client's own job is made once more: its key may have lost the model or the priority since.
    ///
    /// - Throws: 403.
    func checkMayRepeat(_ id: UUIDv7, _ caller: Caller) async throws {
        guard caller.isBounded, let job = try await store.head(id), job.options.client == caller.client else { return }
        try caller.checkMaySubmit(to: job.model, priority: job.options.priority)
    }

    /// Why there is no job with this `id` or `event_id` for this caller: never was, is another's, was deleted, or another
    /// gateway has it.
    ///
    /// - Parameter caller: nil: anyone who has the job's own token.
    func missing(_ id: UUIDv7, _ caller: Caller?) async throws -> APIError {
        if try await store.isDeleted(id, of: caller?.view) { return .gone(id) }
        return peers.owner(of: id).map { .otherGateway(id, $0) } ?? .noSuchJob(id)
    }
}

extension Caller {
    /// Whether this one sees what belongs to a client.
    fileprivate func sees(_ owner: String?) -> Bool { view.map { $0 == owner } ?? true }

    /// Whether there is a model or a priority that it may not submit with.
    fileprivate var isBounded: Bool { !limits.models.isEmpty || limits.maxPriority < Job.priorities.upperBound }

    /// - Throws: 403.
    func checkMayUse(_ model: String) throws(APIError) {
        guard mayUse(model: model) else { throw .modelNotAllowed(model, allowed: limits.models) }
    }

    /// - Throws: 403.
    func checkMaySubmit(_ submission: Submission) throws(APIError) {
        try checkMaySubmit(to: submission.model, priority: submission.options.kept.priority)
    }

    /// - Throws: 403.
    func checkMaySubmit(to model: String, priority: Int) throws(APIError) {
        try checkMayUse(model)
        guard priority <= limits.maxPriority else {
            throw .priorityNotAllowed(priority, limit: limits.maxPriority)
        }
    }
}
