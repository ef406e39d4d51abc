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

/// Those that a batch is made of come first.
private enum BatchColumn: CInt, NamedColumn {
    // What its creation says.
    case id, client, endpoint, input, metadata, timeWindow, lifetime, createdAt, expiresAt, expiry
    // How far it has come.
    case state, ending, times, total, line, place, jobs, endedLines, completed, failed, output, errors, problems, usage
    // What only statements look at.
    case key, inputKey, ended
}

/// When a batch ended.
private enum EndedBatchColumn: CInt, NamedColumn {
    case key, ended
}

extension SQL {
    private static let batchColumns = BatchColumn.allCases.prefix { $0 != .key }.names

    private static let batchInsertion: SQLText<BatchColumn> = {
        let columns = BatchColumn.allCases.prefix { $0 != .total } + [.key, .inputKey]
        return SQLText("INSERT INTO batch (\(columns.names)) VALUES (\(columns.parameters))")
    }()

    private static let batchUpdate = updating([
        .state, .ending, .times, .total, .line, .place, .jobs, .output, .errors, .problems, .usage, .ended,
    ])
    private static let batchEnding = updating([.completed, .failed])

    private static func updating(_ columns: [BatchColumn]) -> SQLText<BatchColumn> {
        SQLText("UPDATE batch SET \(columns.assignments) WHERE \([BatchColumn.key].assignments)")
    }

    private static let batchSelection = SQLText<BatchColumn>("SELECT \(batchColumns) FROM batch WHERE key = ?")
    private static let openSelection = SQLText<BatchColumn>(
        "SELECT \(batchColumns) FROM batch WHERE state < 4 ORDER BY key")

    fileprivate static func insertBatch(_ db: Database, _ batch: Batch, client: Int64) throws {
        try db.with(batchInsertion) { row in
            try row.bind(.key, batch.id.key)
            try row.bind(.id, batch.id)
            try row.bind(.client, client)
            try row.bind(.endpoint, batch.terms.endpoint)
            try row.bind(.input, batch.terms.input)
            try row.bind(.inputKey, batch.terms.input.key)
            try row.bind(.metadata, batch.terms.metadata)
            try row.bind(.timeWindow, batch.terms.window)
            try row.bind(.lifetime, batch.terms.outputLifetime)
            try row.bind(.createdAt, batch.createdAt)
            try row.bind(.expiresAt, batch.expiry.at)
            try row.bind(.expiry, batch.expiry.elapsed)
            try row.bind(.state, batch.state.rawValue)
            try row.bind(.ending, batch.ending.rawValue)
            try row.bind(.times, "{}")
            try row.run()
        }
    }

    /// Writes what the program decides; the lines that have ended are counted by a trigger, up to the end.
    fileprivate static func updateBatch(_ db: Database, _ batch: Batch, at now: Elapsed) throws {
        var times = JSONObject()
        for (state, time) in batch.times { times.set(state.name, Int(time.milliseconds)) }
        var problems = JSONWriter()
        problems.beginArray()
        for problem in batch.problems { problem.write(to: &problems) }
        problems.endArray()
        try db.with(batchUpdate) { row in
            try row.bind(.key, batch.id.key)
            try row.bind(.state, batch.state.rawValue)
            try row.bind(.ending, batch.ending.rawValue)
            try row.bind(.times, String(decoding: times.bytes, as: UTF8.self))
            try row.bind(.total, batch.total)
            try row.bind(.line, batch.progress.line)
            try row.bind(.place, batch.progress.place)
            try row.bind(.jobs, batch.progress.jobs)
            try row.bind(.output, batch.output)
            try row.bind(.errors, batch.errors)
            try row.bind(.problems, problems.bytes)
            try row.bind(.usage, batch.usage)
            try row.bind(.ended, batch.state.isFinal ? now : nil)
            try row.run()
        }
        guard batch.state.isFinal else { return }
        // From here on they are what the files have.
        try db.with(batchEnding) { row in
            try row.bind(.key, batch.id.key)
            try row.bind(.completed, batch.completed)
            try row.bind(.failed, batch.failed)
            try row.run()
        }
    }

    fileprivate static func batch(_ db: Database, _ key: JobKey, _ names: StoredNames) throws -> Batch? {
        try db.with(batchSelection) { row in
            try row.bind(key)
            return try row.first { try batch($0, names) }
        }
    }

    fileprivate static func batches(
        _ db: Database, of client: Int64?, after: UUIDv7?, limit: Int, _ names: StoredNames
    ) throws -> [Batch] {
        // One statement for each case, so that each finds its place in an index.
        let condition = client == nil ? "key < ?" : "client = ? AND key < ?"
        let sql = "SELECT \(batchColumns) FROM batch WHERE \(condition) ORDER BY key DESC LIMIT ?"
        return try db.with(SQLText<BatchColumn>(sql)) { row in
            if let client { try row.bind(client) }
            try row.bind(after?.key.value ?? .max)
            try row.bind(limit)
            return try row.array { try batch($0, names) }
        }
    }

    fileprivate static func openBatches(_ db: Database, _ names: StoredNames) throws -> [Batch] {
        try db.with(openSelection) { row in try row.array { try batch($0, names) } }
    }

    fileprivate static func openBatchCount(_ db: Database) throws -> Int {
        let statement = try db.cachedStatement(
            sql: "SELECT count(*) FROM batch INDEXED BY batch_open WHERE state < 4")
        return try Int.fetchOne(statement) ?? 0
    }

    private static func batch(_ row: PreparedStatement<BatchColumn>, _ names: StoredNames) throws -> Batch {
        guard let client = names.clients.name(of: try row.int64(.client)),
            let state = Batch.State(rawValue: try row.int64(.state)),
            let ending = Batch.State(rawValue: try row.int64(.ending)),
            let times = JSONObject(Array(try row.present(.times, PreparedStatement.text).utf8))
        else { throw StoreError.corrupt(path: "table batch", reason: "a row does not match what was written") }
        let terms = Batch.Terms(
            client: client,
            endpoint: try row.present(.endpoint, PreparedStatement.text),
            input: try row.present(.input, PreparedStatement.uuid),
            metadata: try row.present(.metadata, PreparedStatement.bytes),
            window: .milliseconds(try row.int64(.timeWindow)),
            outputLifetime: try row.optionalInt64(.lifetime).map { .milliseconds($0) })
        var batch = Batch(
            id: try row.present(.id, PreparedStatement.uuid),
            terms: terms,
            createdAt: try row.present(.createdAt, PreparedStatement.time),
            expiry: Job.Expiry(
                at: try row.present(.expiresAt, PreparedStatement.time),
                elapsed: try row.present(.expiry, PreparedStatement.elapsed)))
        batch.state = state
        batch.ending = ending
        for state in Batch.State.allCases {
            batch.times[state] = times.integer(state.name).map { Timestamp(milliseconds: Int64($0)) }
        }
        batch.total = try row.int(.total)
        batch.progress.line = try row.int(.line)
        batch.progress.place = try row.int(.place)
        batch.progress.jobs = try row.int(.jobs)
        batch.ended = try row.int(.endedLines)
        batch.completed = try row.int(.completed)
        batch.failed = try row.int(.failed)
        batch.output = try row.uuid(.output)
        batch.errors = try row.uuid(.errors)
        var problems = JSONObject()
        problems["all"] = try row.bytes(.problems)
        batch.problems = problems.objects("all").compactMap(BatchProblem.init(json:))
        batch.usage = try row.bytes(.usage) ?? []
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
        try db.with(endedSelection) { row in
            try row.bind(limit)
            return try row.array { (try $0.key(.key), try $0.present(.ended, PreparedStatement.elapsed)) }
        }
    }

    private static let endedSelection = SQLText<EndedBatchColumn>(
        """
        SELECT \(EndedBatchColumn.allCases.names) FROM batch WHERE ended IS NOT NULL ORDER BY ended LIMIT ?
        """
    )

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
