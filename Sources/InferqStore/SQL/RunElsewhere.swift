import Foundation
import GRDB

/// An attempt at a worker on another host, as the store knows it.
package struct RunElsewhere: Sendable, Equatable {
    package let job: Job
    package let lease: Job.Lease
    /// The worker's own id, new at each of its starts.
    package let worker: String
}

extension SQL {
    static func insertElsewhere(_ db: Database, _ job: JobKey, _ lease: Job.Lease, _ worker: String) throws {
        try db.cachedStatement(sql: "INSERT OR REPLACE INTO elsewhere (job, lease, worker) VALUES (?, ?, ?)")
            .execute(arguments: [job.value, lease.number, worker])
    }

    /// All attempts that run at workers on other hosts.
    static func runsElsewhere(_ db: Database, _ names: ModelNames) throws -> [RunElsewhere] {
        let rows = try Row.fetchCursor(db, sql: "SELECT job, lease, worker FROM elsewhere ORDER BY job")
            .array { row in (JobKey(value: row[0]), Job.Lease(number: row[1]), row[2] as String) }
        return try rows.compactMap { key, lease, worker in
            guard let job = try selectJob(db, key, names), job.state == .running(lease) else { return nil }
            return RunElsewhere(job: job, lease: lease, worker: worker)
        }
    }
}

extension JobStore {
    /// Those of these jobs that are still due, with their inputs as far as those lie in the rows.
    package func due(_ jobs: [JobKey]) async throws -> [Job] {
        try await reads.perform { [names] db in
            try jobs.compactMap { try SQL.selectWholeJob(db, $0, names) }.filter(\.isDue)
        }
    }
}
