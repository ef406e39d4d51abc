import GRDB
package import InferqCore

/// Calls, as they are found at a start.
extension JobStore {
    /// Calls that have not ended, with their inputs as far as they are in their rows; the newest first.
    ///
    /// - Parameter limit: of the list.
    /// - Throws: ``StoreError``.
    package func openCalls(limit: Int) async throws -> [Job] {
        try await scan { [names] db in try SQL.openCalls(db, names, limit: limit) }
    }
}

extension SQL {
    private static let openCallsSelection = SQLText<JobColumn>(
        "SELECT \(head), input FROM job WHERE call IS NOT NULL AND phase < 3 ORDER BY key DESC LIMIT ?"
    )

    fileprivate static func openCalls(_ db: Database, _ names: StoredNames, limit: Int) throws -> [Job] {
        try db.with(openCallsSelection) { row in
            try row.bind(limit)
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
