import Foundation
import GRDB
package import InferqCore

/// Batches: a row each; their lines are jobs that name them.
extension JobStore {
    /// What became of a batch that was to be stored.
    package enum AddedBatch: Sendable {
        case added(Batch)
        /// Its input is missing, or is another client's.
        case noInput
        /// So many have not ended.
        case tooMany
    }

    /// Stores a batch whose input is there.
    ///
    /// - Parameter limit: of batches that have not ended.
    package func add(_ terms: Batch.Terms, limit: Int) async throws -> AddedBatch {
        let issue = ids.next { clock.now }
        let now = issue.moment
        let batch = Batch(
            id: issue.id, terms: terms, createdAt: now.wall, expiry: Job.Expiry(in: terms.window, from: now))
        let client = names.clients.entry(of: terms.client)
        return try await commits.perform(
            .submit,
            then: { [ids, names] (added: AddedBatch) in
                guard case .added = added else { return }
                if !issue.leads.isEmpty { ids.stored(issue.leads) }
                names.clients.stored(client)
            },
            { [names] db in
                guard try SQL.upload(db, terms.input, names)?.client == terms.client else { return .noInput }
                guard try SQL.openBatchCount(db) < limit else { return .tooMany }
                for lead in issue.leads { try SQL.insertLead(db, lead) }
                if !client.isStored { try SQL.insertClient(db, client) }
                try SQL.insertBatch(db, batch, client: client.id)
                return .added(batch)
            })
    }

    /// - Parameter client: whose it must be; nil: anybody's.
    package func batch(_ id: UUIDv7, of client: String?) async throws -> Batch? {
        try await reads.perform { [names] db in
            guard let found = try SQL.batch(db, id.key, names), found.id == id else { return nil }
            return client == nil || found.terms.client == client ? found : nil
        }
    }

    /// Batches, the newest first.
    ///
    /// - Parameters:
    ///   - client: whose; nil: everyone's.
    ///   - after: the one that the page before ended with.
    package func batches(of client: String?, after: UUIDv7?, limit: Int) async throws -> [Batch] {
        if let client, names.clients.id(of: client) == nil { return [] }
        return try await scan { [names] db in
            try SQL.batches(db, of: client.flatMap(names.clients.id), after: after, limit: limit, names)
        }
    }

    /// Those that have not ended, the oldest first.
    package func openBatches() async throws -> [Batch] {
        try await scan { [names] db in try SQL.openBatches(db, names) }
    }

    /// Changes a batch. What the store counts itself stays as it is.
    ///
    /// - Returns: the batch afterwards; nil when there is none, or when `transition` returns false: then nothing is changed.
    package func change(
        _ batch: UUIDv7, _ transition: @escaping @Sendable (inout Batch, Timestamp) -> Bool
    ) async throws -> Batch? {
        let now = clock.now
        return try await commits.perform(.change) { [names] db in
            guard var found = try SQL.batch(db, batch.key, names), found.id == batch,
                transition(&found, now.wall)
            else { return nil }
            try SQL.updateBatch(db, found, at: now.certain)
            return found
        }
    }

    /// Stores the next lines of a batch as jobs, all or none, with how far it has come.
    ///
    /// - Parameter last: how far it must have come before.
    /// - Returns: false when the batch no longer takes these lines.
    package func insert(
        _ jobs: [(job: Job, at: Moment, leads: ArraySlice<IDLead>)], of batch: UUIDv7, after last: Batch.Progress,
        _ progress: Batch.Progress
    ) async throws -> Bool {
        let models = try jobs.map { each in
            guard let model = names.models.id(of: each.job.model) else {
                throw StoreError.corrupt(path: each.job.model, reason: "the model was not announced")
            }
            return model
        }
        let changes = try await commits.perform(
            .submit,
            then: { [ids, tell] (changes: [Change]?) in
                guard let changes else { return }
                for each in jobs where !each.leads.isEmpty { ids.stored(each.leads) }
                for change in changes { tell(change) }
            },
            { [names, numbers] db -> [Change]? in
                guard var found = try SQL.batch(db, batch.key, names), found.state == .inProgress,
                    found.progress == last
                else { return nil }
                let client = names.clients.entry(of: found.terms.client)
                found.progress = progress
                try SQL.updateBatch(db, found, at: Elapsed(milliseconds: 0))
                return try zip(jobs, models).map { each, model in
                    for lead in each.leads { try SQL.insertLead(db, lead) }
                    var job = each.job
                    let event = try SQL.insertEvent(db, job.key, job.accepted(), numbers, at: each.at)
                    job.lastEvent = event.id
                    try SQL.insertJob(db, job, model: model, client: client.id)
                    job.input.content = .unread
                    return Change(job: job, before: nil, events: [event])
                }
            })
        return changes != nil
    }

    /// Jobs of a batch from a line on, in the order of their lines, their bodies read as far as they are in their rows.
    package func lines(of batch: UUIDv7, from line: Int, limit: Int) async throws -> [Job] {
        try await scan { [names] db in
            try SQL.lines(db, of: batch.key, from: line, limit: limit).compactMap {
                try SQL.selectWholeJob(db, $0, names)
            }
        }
    }

    /// Cancels jobs of a batch that have not begun, in one transaction.
    ///
    /// - Returns: how many; fewer than `limit`: there are no more.
    package func cancelPendingLines(of batch: UUIDv7, limit: Int) async throws -> Int {
        let now = clock.now
        let changes = try await changeAll(
            .change, now: now, which: { db in try SQL.pendingLines(db, of: batch.key, limit: limit) },
            { job in job.cancel(now: now) })
        return changes.count
    }

    /// Ends a batch, with the files that have come of it.
    ///
    /// - Returns: the batch; nil when there is none, or it has ended already: then the files are no one's.
    package func end(
        _ batch: UUIDv7, output: (UploadDraft, BlobName)?, errors: (UploadDraft, BlobName)?,
        _ transition: @escaping @Sendable (inout Batch, Timestamp) -> Void
    ) async throws -> Batch? {
        let made = [output, errors].map { file in
            file.map { draft, blob in
                let issue = ids.next { clock.now }
                return (upload: Self.upload(draft, in: blob, issue), issue: issue, lifetime: draft.lifetime)
            }
        }
        let now = clock.now
        return try await commits.perform(
            .change,
            then: { [ids] (ended: Batch?) in
                guard ended != nil else { return }
                for each in made.compactMap({ $0 }) where !each.issue.leads.isEmpty { ids.stored(each.issue.leads) }
            },
            { [names] db in
                guard var found = try SQL.batch(db, batch.key, names), !found.state.isFinal else { return nil }
                let client = names.clients.entry(of: found.terms.client)
                for each in made.compactMap({ $0 }) {
                    for lead in each.issue.leads { try SQL.insertLead(db, lead) }
                    let since = each.issue.moment.certain
                    try SQL.insertUpload(
                        db, each.upload, client: client.id, expiry: each.lifetime.map { since + $0 }, at: since)
                }
                found.output = made[0]?.upload.id
                found.errors = made[1]?.upload.id
                transition(&found, now.wall)
                try SQL.updateBatch(db, found, at: now.certain)
                return found
            })
    }
}

extension SQL {
    private static let batchColumns = """
        id, client, endpoint, input, metadata, time_window, lifetime, created_at, expires_at, expiry, state, ending, \
        times, total, line, place, jobs, ended_lines, completed, failed, output, errors, problems, usage
        """

    fileprivate static func insertBatch(_ db: Database, _ batch: Batch, client: Int64) throws {
        try db.cachedStatement(
            sql: """
                INSERT INTO batch (key, id, client, endpoint, input, input_key, metadata, time_window, lifetime, \
                created_at, expires_at, expiry, state, ending, times) \
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '{}')
                """
        ).execute(arguments: [
            batch.id.key.value, batch.id.data, client, batch.terms.endpoint, batch.terms.input.data,
            batch.terms.input.key.value, Data(batch.terms.metadata), batch.terms.window.milliseconds,
            batch.terms.outputLifetime?.milliseconds, batch.createdAt.milliseconds, batch.expiry.at.milliseconds,
            batch.expiry.elapsed.milliseconds, batch.state.rawValue, batch.ending.rawValue,
        ])
    }

    /// Writes what the program decides; the lines that have ended are counted by a trigger, up to the end.
    fileprivate static func updateBatch(_ db: Database, _ batch: Batch, at now: Elapsed) throws {
        var times = JSONObject()
        for (state, time) in batch.times { times.set(state.name, Int(time.milliseconds)) }
        var problems = JSONWriter()
        problems.beginArray()
        for problem in batch.problems { problem.write(to: &problems) }
        problems.endArray()
        try db.cachedStatement(
            sql: """
                UPDATE batch SET state = ?, ending = ?, times = ?, total = ?, line = ?, place = ?, jobs = ?, \
                output = ?, errors = ?, problems = ?, usage = ?, ended = ? WHERE key = ?
                """
        ).execute(arguments: [
            batch.state.rawValue, batch.ending.rawValue, String(decoding: times.bytes, as: UTF8.self), batch.total,
            batch.progress.line, batch.progress.place, batch.progress.jobs, batch.output?.data, batch.errors?.data,
            Data(problems.bytes), Data(batch.usage), batch.state.isFinal ? now.milliseconds : nil,
            batch.id.key.value,
        ])
        guard batch.state.isFinal else { return }
        // From here on they are what the files have.
        try db.cachedStatement(sql: "UPDATE batch SET completed = ?, failed = ? WHERE key = ?")
            .execute(arguments: [batch.completed, batch.failed, batch.id.key.value])
    }

    fileprivate static func batch(_ db: Database, _ key: JobKey, _ names: StoredNames) throws -> Batch? {
        let statement = try db.cachedStatement(sql: "SELECT \(batchColumns) FROM batch WHERE key = ?")
        return try Row.fetchCursor(statement, arguments: [key.value]).first { try batch($0, names) }
    }

    fileprivate static func batches(
        _ db: Database, of client: Int64?, after: UUIDv7?, limit: Int, _ names: StoredNames
    ) throws -> [Batch] {
        // One statement for each case, so that each finds its place in an index.
        let condition = client == nil ? "key < ?" : "client = ? AND key < ?"
        let sql = "SELECT \(batchColumns) FROM batch WHERE \(condition) ORDER BY key DESC LIMIT ?"
        let values = [client, after?.key.value ?? .max, Int64(limit)].compactMap { $0 }
        return try Row.fetchCursor(db.cachedStatement(sql: sql), arguments: StatementArguments(values)).array {
            try batch($0, names)
        }
    }

    fileprivate static func openBatches(_ db: Database, _ names: StoredNames) throws -> [Batch] {
        let statement = try db.cachedStatement(sql: "SELECT \(batchColumns) FROM batch WHERE state < 4 ORDER BY key")
        return try Row.fetchCursor(statement).array { try batch($0, names) }
    }

    fileprivate static func openBatchCount(_ db: Database) throws -> Int {
        let statement = try db.cachedStatement(
            sql: "SELECT count(*) FROM batch INDEXED BY batch_open WHERE state < 4")
        return try Int.fetchOne(statement) ?? 0
    }

    private static func batch(_ row: Row, _ names: StoredNames) throws -> Batch {
        guard let id = UUIDv7(data: row[0]), let client = names.clients.name(of: row[1]),
            let input = UUIDv7(data: row[3]), let state = Batch.State(rawValue: row[10]),
            let ending = Batch.State(rawValue: row[11]), let times = JSONObject(Array((row[12] as String).utf8))
        else { throw StoreError.corrupt(path: "table batch", reason: "a row does not match what was written") }
        let terms = Batch.Terms(
            client: client, endpoint: row[2], input: input, metadata: Array(row[4] as Data),
            window: .milliseconds(row[5] as Int64), outputLifetime: (row[6] as Int64?).map { .milliseconds($0) })
        var batch = Batch(
            id: id, terms: terms, createdAt: Timestamp(milliseconds: row[7]),
            expiry: Job.Expiry(
                at: Timestamp(milliseconds: row[8]), elapsed: Elapsed(milliseconds: row[9])))
        batch.state = state
        batch.ending = ending
        for state in Batch.State.allCases {
            batch.times[state] = times.integer(state.name).map { Timestamp(milliseconds: Int64($0)) }
        }
        batch.total = row[13]
        batch.progress.line = row[14]
        batch.progress.place = row[15]
        batch.progress.jobs = row[16]
        batch.ended = row[17]
        batch.completed = row[18]
        batch.failed = row[19]
        batch.output = (row[20] as Data?).flatMap(UUIDv7.init(data:))
        batch.errors = (row[21] as Data?).flatMap(UUIDv7.init(data:))
        var problems = JSONObject()
        problems["all"] = (row[22] as Data?).map { Array($0) }
        batch.problems = problems.objects("all").compactMap(BatchProblem.init(json:))
        batch.usage = (row[23] as Data?).map { Array($0) } ?? []
        return batch
    }

    fileprivate static func lines(_ db: Database, of batch: JobKey, from line: Int, limit: Int) throws -> [JobKey] {
        let statement = try db.cachedStatement(
            sql: "SELECT key FROM job WHERE batch = ? AND line >= ? ORDER BY line LIMIT ?")
        return try Int64.fetchAll(statement, arguments: [batch.value, line, limit]).map(JobKey.init(value:))
    }

    fileprivate static func pendingLines(_ db: Database, of batch: JobKey, limit: Int) throws -> [JobKey] {
        let statement = try db.cachedStatement(
            sql: "SELECT key FROM job INDEXED BY job_of_batch_pending WHERE batch = ? AND phase < 2 LIMIT ?")
        return try Int64.fetchAll(statement, arguments: [batch.value, limit]).map(JobKey.init(value:))
    }

    /// The batches that ended first.
    static func endedBatches(_ db: Database, limit: Int) throws -> [(key: JobKey, ended: Elapsed)] {
        let statement = try db.cachedStatement(
            sql: "SELECT key, ended FROM batch WHERE ended IS NOT NULL ORDER BY ended LIMIT ?")
        return try Row.fetchCursor(statement, arguments: [limit]).array { row in
            (JobKey(value: row[0]), Elapsed(milliseconds: row[1]))
        }
    }

    /// Forgets a batch none of whose jobs is left.
    ///
    /// - Returns: false when there are some.
    static func deleteBatch(_ db: Database, _ batch: JobKey) throws -> Bool {
        try db.cachedStatement(
            sql: "DELETE FROM batch WHERE key = ?1 AND NOT EXISTS (SELECT 1 FROM job WHERE batch = ?1)"
        ).execute(arguments: [batch.value])
        return db.changesCount > 0
    }
}
