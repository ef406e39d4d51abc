import Crypto
import GRDB
package import InferqCore

/// A call of the process before, as far as a repeat of it or the end of its client asks for it.
package struct StoredCall: Sendable {
    package let job: UUIDv7
    /// Whose it is; nil for one of before there were clients.
    package let client: String?
    package let call: Call
    package let model: String
    /// SHA-256 of its body; empty when a job has none that can be found.
    package let bodyDigest: [UInt8]
    /// Attempts that failed.
    package let failures: Int
}

/// Calls, as they are found at a start.
extension JobStore {
    /// Calls that have not ended, and those that have ended lately: each in the order in which a client would repeat them,
    /// the oldest first, of one moment.
    ///
    /// - Parameters:
    ///   - window: how long before `start` a call may have ended, by ``Moment/certain``: without the time in which the machine
    ///     was off.
    ///   - start: of this process; what ended later it knows itself.
    ///   - limit: of each of the two; the newest are kept.
    /// - Throws: ``StoreError``.
    package func recentCalls(
        endedWithin window: Duration, of start: Moment, limit: Int
    ) async throws -> (open: [StoredCall], ended: [StoredCall]) {
        try await scan { [names] db in
            let ended = try SQL.calls(db, names, SQL.endedCallsSelection) { row in
                try row.bind((start.certain - window).milliseconds)
                try row.bind(start.certain.milliseconds)
                try row.bind(limit)
            }
            let open = try SQL.calls(db, names, SQL.openCallsSelection) { row in try row.bind(limit) }
            return (open.reversed(), ended)
        }
    }
}

extension SQL {
    fileprivate static let openCallsSelection = SQLText<JobColumn>(
        "SELECT \(head), input FROM job WHERE call IS NOT NULL AND phase < 3 ORDER BY key DESC LIMIT ?"
    )

    /// Of all jobs that ended in time, the newest: most jobs may be no calls, and a start must not read a busy minute whole.
    fileprivate static let endedCallsSelection = SQLText<JobColumn>(
        """
        SELECT \(head), input FROM job WHERE call IS NOT NULL AND phase BETWEEN 3 AND 4 AND key IN (
            SELECT key FROM job INDEXED BY job_by_end
            WHERE ended IS NOT NULL AND batch IS NULL AND ended BETWEEN ? AND ? ORDER BY ended DESC LIMIT ?
        ) ORDER BY ended
        """
    )

    fileprivate static func calls(
        _ db: Database, _ names: StoredNames, _ selection: SQLText<JobColumn>,
        _ bind: (inout PreparedStatement<JobColumn>) throws -> Void
    ) throws -> [StoredCall] {
        try db.with(selection) { row in
            try bind(&row)
            var calls: [StoredCall] = []
            while try row.step() {
                let job = try job(row, names)
                guard let call = job.options.call else { continue }
                // The bodies themselves would be up to 64 KiB for each.
                let body: [UInt8]?
                do {
                    body = try bytes(db, of: job.input, inRow: row.bytes(.input), .input, of: job.key)
                } catch StoreError.damaged {
                    // Said to anyone who asks for it; the others are found all the same.
                    continue
                }
                calls.append(
                    StoredCall(
                        job: job.id, client: job.options.client, call: call, model: job.model,
                        bodyDigest: body.map { Array(SHA256.hash(data: $0)) } ?? job.input.digest ?? [],
                        failures: job.failures))
            }
            return calls
        }
    }
}
