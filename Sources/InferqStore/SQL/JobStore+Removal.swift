import GRDB
package import InferqCore

// The statements that remove jobs: what a client deletes, and what the retention does.
//
// All times here are ``Moment/certain``: nothing is removed on the word of a clock that can be set.

/// Until when ended jobs stay, and how much they may take.
struct RetentionRule: Sendable, Equatable {
    /// Jobs that ended before it go; nil: age is no reason.
    var before: Elapsed?
    /// Past it the jobs that ended first go.
    var maxBytes: Int
}

/// What one transaction of the retention has done.
package struct RetentionStep: Sendable, Equatable {
    /// Jobs that are gone.
    package var jobs = 0
    /// Files of clients and batches that are gone.
    package var uploads = 0
    /// Bytes that both took, as ``Schema/size(_:)`` and ``Schema/sizeOfUpload(_:)`` count them.
    package var bytes = 0
    /// Files of theirs; to be removed once the transaction is on disk.
    var files: [BlobName] = []
    /// Rows that it has touched; none: there was nothing to remove.
    package var rows = 0
}

/// What the retention looks at; `size` is what it counts.
private enum EndedJobColumn: CInt, NamedColumn {
    case key, ended, inputFile, outputFile, size
}

private enum EndedSumColumn: CInt, NamedColumn {
    case jobs, bytes
}

extension SQL {
    /// Events that are deleted along with their job; more of them go in steps of their own.
    private static let eventsAtOnce = 64

    /// How long an idempotency key holds at least, when the retention removes its job before that.
    static let keyAge = Duration.seconds(86_400)

    /// Removes a job that a client deletes, with its events and its key, and remembers that it was there.
    static func deleteJob(_ db: Database, _ job: Job, at now: Elapsed) throws {
        try db.cachedStatement(sql: "DELETE FROM idempotency WHERE job = ?").execute(arguments: [job.key.value])
        _ = try remove(db, job.key, at: now)
    }

    /// Removes a row, its first events and its keys as far as they are old enough.
    ///
    /// - Returns: how many rows that were.
    private static func remove(_ db: Database, _ key: JobKey, at now: Elapsed) throws -> Int {
        try db.cachedStatement(
            sql: """
                INSERT INTO tombstone (job, id, event_id, client, at) \
                SELECT key, id, event_id, client, ? FROM job WHERE key = ?
                """
        ).execute(arguments: [now.milliseconds, key.value])
        try db.cachedStatement(sql: "DELETE FROM job WHERE key = ?").execute(arguments: [key.value])
        try deleteBodies(db, of: key)
        // The last million is kept. One more comes, so at most one goes.
        try db.cachedStatement(sql: "DELETE FROM tombstone WHERE number <= ? - 1000000")
            .execute(arguments: [db.lastInsertedRowID])
        let events = try deleteEvents(db, of: key, limit: eventsAtOnce)
        let due = events >= eventsAtOnce ? now : try deleteKeys(db, of: key, at: now)
        if let due {
            try db.cachedStatement(sql: "INSERT INTO leftover (job, due) VALUES (?, ?)")
                .execute(arguments: [key.value, due.milliseconds])
        }
        return events + 2
    }

    /// Pieces that are deleted in one step: of the largest ones, that is 5 MiB.
    private static let piecesAtOnce = 128

    /// Deletes events and pieces.
    ///
    /// - Returns: how many rows went; fewer than `limit`: all have gone.
    private static func deleteEvents(_ db: Database, of key: JobKey, limit: Int) throws -> Int {
        try keepEventNumbers(db)
        try db.cachedStatement(
            sql: "DELETE FROM event WHERE id IN (SELECT id FROM event WHERE job = ? ORDER BY id LIMIT ?)"
        ).execute(arguments: [key.value, limit])
        let events = db.changesCount
        guard events < limit else { return events }
        let room = min(limit - events, piecesAtOnce)
        let pieces = try deletePieces(db, of: key, limit: room)
        return pieces == room ? limit : events + pieces
    }

    /// Frees the keys of a job that is gone, as far as they are old enough.
    ///
    /// - Returns: when the rest will be; nil when there is none.
    private static func deleteKeys(_ db: Database, of key: JobKey, at now: Elapsed) throws -> Elapsed? {
        let latest = try Int64.fetchOne(
            db.cachedStatement(sql: "SELECT max(at) FROM idempotency WHERE job = ?"), arguments: [key.value]
        )
        guard let latest else { return nil }
        let due = Elapsed(milliseconds: latest) + keyAge
        guard due <= now else { return due }
        try db.cachedStatement(sql: "DELETE FROM idempotency WHERE job = ?").execute(arguments: [key.value])
        return nil
    }

    private static let tombstone = SQLText<OnlyColumn>(
        """
        SELECT 1 FROM tombstone WHERE job = ?1 AND (id = ?2 OR event_id = ?2) AND (?3 IS NULL OR client = ?3)
        """
    )

    /// Whether a job with this `id` or `event_id` was deleted.
    ///
    /// - Parameter client: whose it must have been; nil: anybody's.
    static func isDeleted(_ db: Database, _ id: UUIDv7, of client: Int64? = nil) throws -> Bool {
        try db.with(tombstone) { row in
            try row.bind(id.key)
            try row.bind(id)
            try row.bind(client)
            return try row.step()
        }
    }
}

// MARK: Retention

extension SQL {
    /// Rows that one step touches at most, but for the last job's: about a millisecond of the writer's time.
    private static let rowsOfStep = 256
    /// Bytes that one step frees at most, but for the last job's: a large row is many pages.
    private static let bytesOfStep = 2 << 20

    /// Removes what the rule no longer keeps, the job that ended first first, as far as one step goes.
    static func removeEnded(_ db: Database, _ rule: RetentionRule, at now: Elapsed) throws -> RetentionStep {
        var step = RetentionStep()
        var room = rowsOfStep
        room -= try removeLeftovers(db, limit: room, at: now)
        room -= try forgetTombstones(db, limit: room, at: now)
        var total = try endedTotal(db).bytes
        let first = try endedJobs(db, limit: max(room, 1) / 2)
        var uploads = try expiredUploads(db, at: now, limit: max(room, 1) / 4)
        for upload in uploads { try remove(upload, &step, &total, &room, db) }
        uploads = try oldestUploads(db, limit: max(room, 1) / 4).reversed()
        /// Removes the files that are there longer than a job has been ended.
        func removeUploads(until ended: Elapsed) throws {
            while let oldest = uploads.last, oldest.since <= ended, room > 0, step.bytes < bytesOfStep {
                guard rule.before.map({ oldest.since < $0 }) ?? false || total > rule.maxBytes else { return }
                try remove(oldest, &step, &total, &room, db)
                uploads.removeLast()
            }
        }
        var batches = try endedBatches(db, limit: 4).reversed() as [(key: JobKey, ended: Elapsed)]
        /// Removes the lines of batches that ended before a job, some at a time, and each batch with the last of them.
        func removeBatches(until ended: Elapsed) throws {
            while let oldest = batches.last, oldest.ended <= ended, room > 0, step.bytes < bytesOfStep {
                guard rule.before.map({ oldest.ended < $0 }) ?? false || total > rule.maxBytes else { return }
                for line in try endedLines(db, of: oldest.key, limit: max(room / 2, 1)) {
                    try remove(line, &step, &total, &room, db, at: now)
                }
                guard room > 0 else { return }
                if try deleteBatch(db, oldest.key) { room -= 1 }
                batches.removeLast()
            }
        }
        for job in first {
            try removeUploads(until: job.ended)
            try removeBatches(until: job.ended)
            let isDue = rule.before.map { job.ended < $0 } ?? false || total > rule.maxBytes
            guard isDue, room > 0, step.bytes < bytesOfStep else { break }
            try remove(job, &step, &total, &room, db, at: now)
        }
        try removeUploads(until: now)
        try removeBatches(until: now)
        step.rows = rowsOfStep - room
        return step
    }

    /// A job that may go.
    private struct EndedJob {
        let key: JobKey
        let ended: Elapsed
        let files: [BlobName]
        let size: Int

        init(_ row: PreparedStatement<EndedJobColumn>) throws {
            key = try row.key(.key)
            ended = try row.present(.ended, PreparedStatement.elapsed)
            files = [try row.text(.inputFile), try row.text(.outputFile)].compactMap { $0.map(BlobName.init(text:)) }
            size = try row.int(.size)
        }
    }

    private static let endedColumns = """
        \([EndedJobColumn.key, .ended, .inputFile, .outputFile].names), \(Schema.size("job"))
        """

    private static let oldestEnded = SQLText<EndedJobColumn>(
        """
        SELECT \(endedColumns) FROM job INDEXED BY job_by_end \
        WHERE ended IS NOT NULL AND batch IS NULL ORDER BY ended LIMIT ?
        """
    )

    private static let endedOfBatch = SQLText<EndedJobColumn>(
        "SELECT \(endedColumns) FROM job INDEXED BY job_of_batch WHERE batch = ? AND ended IS NOT NULL LIMIT ?")

    /// The jobs that ended first, but for lines of batches.
    private static func endedJobs(_ db: Database, limit: Int) throws -> [EndedJob] {
        try db.with(oldestEnded) { row in
            try row.bind(limit)
            return try row.array(EndedJob.init)
        }
    }

    private static func endedLines(_ db: Database, of batch: JobKey, limit: Int) throws -> [EndedJob] {
        try db.with(endedOfBatch) { row in
            try row.bind(batch)
            try row.bind(limit)
            return try row.array(EndedJob.init)
        }
    }

    private static func remove(
        _ job: EndedJob, _ step: inout RetentionStep, _ total: inout Int, _ room: inout Int, _ db: Database,
        at now: Elapsed
    ) throws {
        room -= try remove(db, job.key, at: now)
        total -= job.size
        step.jobs += 1
        step.bytes += job.size
        step.files += job.files
    }

    private static func remove(
        _ upload: EndingUpload, _ step: inout RetentionStep, _ total: inout Int, _ room: inout Int, _ db: Database
    ) throws {
        try delete(upload, db)
        room -= 1
        total -= upload.size
        step.uploads += 1
        step.bytes += upload.size
        step.files.append(upload.blob)
    }

    private static let endedSum = SQLText<EndedSumColumn>("SELECT \(EndedSumColumn.allCases.names) FROM ended")

    /// How many jobs have ended and are still there, and what they and all files of clients take.
    static func endedTotal(_ db: Database) throws -> (jobs: Int, bytes: Int) {
        try db.with(endedSum) { row in try row.first { (try $0.int(.jobs), try $0.int(.bytes)) } ?? (0, 0) }
    }

    private static func removeLeftovers(_ db: Database, limit: Int, at now: Elapsed) throws -> Int {
        let statement = try db.cachedStatement(sql: "SELECT job FROM leftover WHERE due <= ? ORDER BY due LIMIT 16")
        let keys = try Int64.fetchAll(statement, arguments: [now.milliseconds]).map(JobKey.init(value:))
        var rows = 0
        for key in keys where rows < limit {
            let events = try deleteEvents(db, of: key, limit: limit - rows)
            rows += events + 1
            guard rows < limit else { break }
            if let due = try deleteKeys(db, of: key, at: now) {
                try db.cachedStatement(sql: "UPDATE leftover SET due = ? WHERE job = ?")
                    .execute(arguments: [due.milliseconds, key.value])
            } else {
                try db.cachedStatement(sql: "DELETE FROM leftover WHERE job = ?").execute(arguments: [key.value])
            }
        }
        return rows
    }

    /// How long a deleted job is remembered.
    private static let tombstoneAge = Duration.seconds(30 * 86_400)

    private static func forgetTombstones(_ db: Database, limit: Int, at now: Elapsed) throws -> Int {
        guard limit > 0 else { return 0 }
        // They are numbered in the order of their time, so the first ones are the oldest.
        try db.cachedStatement(
            sql: """
                DELETE FROM tombstone WHERE number IN (SELECT number FROM tombstone ORDER BY number LIMIT ?) AND at < ?
                """
        ).execute(arguments: [limit, (now - tombstoneAge).milliseconds])
        return db.changesCount
    }

    /// When the retention has something to do next, and what there is to give back. From the ends of indexes alone.
    static func retentionOutlook(_ db: Database, _ retention: Duration) throws -> RetentionOutlook {
        func first(_ sql: String) throws -> Elapsed? {
            try Int64.fetchOne(db.cachedStatement(sql: sql)).map(Elapsed.init(milliseconds:))
        }
        let oldest =
            retention > .zero ? try first("SELECT min(ended) FROM job WHERE ended IS NOT NULL AND batch IS NULL") : nil
        let leftover = try first("SELECT min(due) FROM leftover")
        let upload = retention > .zero ? try first("SELECT min(since) FROM upload WHERE \(isFree)") : nil
        let batch =
            retention > .zero ? try first("SELECT min(ended) FROM batch WHERE ended IS NOT NULL") : nil
        let expiring = try first("SELECT min(expiry) FROM upload WHERE expiry IS NOT NULL AND \(isFree)")
        let tombstone = try first("SELECT at FROM tombstone ORDER BY number LIMIT 1")
        return RetentionOutlook(
            next: [
                oldest.map { $0 + retention }, upload.map { $0 + retention }, batch.map { $0 + retention },
                expiring, leftover,
                tombstone.map { $0 + tombstoneAge },
            ].compactMap { $0 }.min(),
            bytes: try endedTotal(db).bytes,
            pages: try Int.fetchOne(db.cachedStatement(sql: "PRAGMA page_count")) ?? 0,
            freePages: try Int.fetchOne(db.cachedStatement(sql: "PRAGMA freelist_count")) ?? 0
        )
    }
}

/// What the retention finds before it does anything.
package struct RetentionOutlook: Sendable, Equatable {
    /// The first moment at which something is too old, by ``Moment/certain``; nil when nothing ever will be.
    package var next: Elapsed?
    /// What ended jobs and files take.
    package var bytes: Int
    /// Pages of the file, and those of them that hold nothing.
    var pages: Int
    package var freePages: Int
}
