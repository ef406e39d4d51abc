import GRDB
package import InferqCore

/// Calls, as they are found at a start.
extension JobStore {
    /// Calls that have not ended, with their inputs as far as they are in their rows; the newest first.
    ///
    /// - Parameter limit: of the list.
    /// - Throws: ``StoreError``.
    package func openCalls(limit: Int) async throws -> [Job] {
        try await scan { [names] db in
            try SQL.calls(db, names, SQL.openCallsSelection) { row in try row.bind(limit) }
        }
    }

    /// Calls that have ended lately, with their inputs as far as they are in their rows; the newest first.
    ///
    /// - Parameters:
    ///   - window: the time before now, in the life of the store, in which they ended.
    ///   - eventLimit: of the newest events that are looked at, so that a start after a busy minute does not read all of it.
    /// - Throws: ``StoreError``.
    package func endedCalls(within window: Duration, eventLimit: Int) async throws -> [Job] {
        let begin = clock.now.elapsed - window
        return try await scan { [names] db in
            try SQL.calls(db, names, SQL.endedCallsSelection) { row in
                try row.bind(eventLimit)
                try row.bind(begin.milliseconds)
            }
        }
    }
}

extension SQL {
    fileprivate static let openCallsSelection = SQLText<JobColumn>(
        "SELECT \(head), input FROM job WHERE call IS NOT NULL AND phase < 3 ORDER BY key DESC LIMIT ?"
    )

    fileprivate static let endedCallsSelection = SQLText<JobColumn>(
        """
        SELECT \(head), input FROM job WHERE call IS NOT NULL AND phase >= 3 AND key IN (
            SELECT job FROM event WHERE id > (SELECT max(id) FROM event) - ? AND elapsed >= ?
        ) ORDER BY key DESC
        """
    )

    fileprivate static func calls(
        _ db: Database, _ names: StoredNames, _ selection: SQLText<JobColumn>,
        _ bind: (inout PreparedStatement<JobColumn>) throws -> Void
    ) throws -> [Job] {
        try db.with(selection) { row in
            try bind(&row)
            var jobs: [Job] = []
            while try row.step() {
                var job = try job(row, names)
                if let input = try bytes(db, of: job.input, inRow: row.bytes(.input), .input, of: job.key) {
                    job.input.content = .inline(input)
                }
                jobs.append(job)
            }
            return jobs
        }
    }
}
