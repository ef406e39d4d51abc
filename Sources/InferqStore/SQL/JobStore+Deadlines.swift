import GRDB
package import InferqCore

/// What time alone brings.
extension JobStore {
    /// Makes jobs due whose moment has come.
    ///
    /// - Parameter limit: of one step, so that submits come in between.
    /// - Returns: how many there were.
    package func makeDue(at now: Moment, limit: Int) async throws -> Int {
        try await changeAll(
            .change, now: now, which: { try SQL.waitingJobs($0, until: now, limit: limit) },
            { job in
                try job.becomeDue()
                return []
            }
        ).count
    }

    /// Ends jobs that have expired before their first attempt.
    ///
    /// - Parameter limit: of one step, so that submits come in between.
    /// - Returns: these jobs.
    package func expire(at now: Moment, limit: Int) async throws -> [Job] {
        try await changeAll(
            .change, now: now, which: { try SQL.expiredJobs($0, at: now, limit: limit) }, { try $0.expire(now: now) }
        ).map(\.job)
    }
}
