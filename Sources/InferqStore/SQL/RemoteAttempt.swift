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

private enum RemoteAttemptColumn: CInt, NamedColumn {
    case job, lease, worker
}

extension SQL {
    private static let insertion = SQLText<RemoteAttemptColumn>(
        """
        INSERT OR REPLACE INTO elsewhere (\(RemoteAttemptColumn.allCases.names)) \
        VALUES (\(RemoteAttemptColumn.allCases.parameters))
        """
    )
    private static let selection = SQLText<RemoteAttemptColumn>(
        "SELECT \(RemoteAttemptColumn.allCases.names) FROM elsewhere ORDER BY job")

    static func insertRemoteAttempt(_ db: Database, _ job: JobKey, _ lease: Job.Lease, _ worker: String) throws {
        try db.with(insertion) { row in
            try row.bind(.job, job)
            try row.bind(.lease, lease.number)
            try row.bind(.worker, worker)
            try row.run()
        }
    }

    /// All attempts that run at workers on other hosts.
    static func remoteAttempts(_ db: Database, _ names: StoredNames) throws -> [RemoteAttempt] {
        let rows = try db.with(selection) { row in
            try row.array {
                (
                    try $0.key(.job), Job.Lease(number: try $0.int64(.lease)),
                    try $0.present(.worker, PreparedStatement.text)
                )
            }
        }
        return try rows.compactMap { key, lease, worker in
            guard let job = try selectJob(db, key, names), job.state == .running(lease) else { return nil }
            return RemoteAttempt(job: job, lease: lease, worker: worker)
        }
    }
}
