import Foundation
import GRDB
package import InferqCore

/// An attempt at a worker on another host, as the store knows it.
package struct RemoteAttempt: Sendable, Equatable {
    package let job: Job
    package let lease: Job.Lease
    /// The worker's own id, new at each of its starts.
    package let worker: String
}

/// What a start does with the attempts that were running at workers on other hosts.
package enum RemoteAttemptPolicy: Sendable, Equatable {
    /// They go on: there is a way for their outcomes to come back.
    case keep
    /// They are interrupted, and their jobs are due again.
    case interrupt(reason: String)
}

extension SQL {
    static func insertRemoteAttempt(_ db: Database, _ job: JobKey, _ lease: Job.Lease, _ worker: String) throws {
        try db.cachedStatement(sql: "INSERT OR REPLACE INTO elsewhere (job, lease, worker) VALUES (?, ?, ?)")
            .execute(arguments: [job.value, lease.number, worker])
    }

    /// All attempts that run at workers on other hosts.
    static func remoteAttempts(_ db: Database, _ names: StoredNames) throws -> [RemoteAttempt] {
        let rows = try Row.fetchCursor(db, sql: "SELECT job, lease, worker FROM elsewhere ORDER BY job")
            .array { row in (JobKey(value: row[0]), Job.Lease(number: row[1]), row[2] as String) }
        return try rows.compactMap { key, lease, worker in
            guard let job = try selectJob(db, key, names), job.state == .running(lease) else { return nil }
            return RemoteAttempt(job: job, lease: lease, worker: worker)
        }
    }
}
