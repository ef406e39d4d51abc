import Foundation
import GRDB

// The statements of the tables beside jobs and events.

// MARK: Idempotency keys

extension SQL {
    /// The job that a key belongs to.
    ///
    /// - Throws: ``JobQueue/Refusal/keyReused`` when it belongs to another request.
    static func jobOf(_ db: Database, _ key: IdempotencyKey) throws -> UUIDv7? {
        let statement = try db.cachedStatement(
            sql: """
                SELECT idempotency.digest, job.id FROM idempotency JOIN job ON job.key = idempotency.job \
                WHERE idempotency.key = ?
                """
        )
        return try Row.fetchCursor(statement, arguments: [key.text]).first { row in
            guard row[0] as Data == Data(key.digest) else { throw JobQueue.Refusal.keyReused }
            return UUIDv7(data: row[1])
        } ?? nil
    }

    static func insertKey(_ db: Database, _ key: IdempotencyKey, of job: JobKey, at now: Timestamp) throws {
        try db.cachedStatement(sql: "INSERT INTO idempotency (key, digest, job, at) VALUES (?, ?, ?, ?)")
            .execute(arguments: [key.text, Data(key.digest), job.value, now.milliseconds])
    }
}

// MARK: Models and meta data

extension SQL {
    static func insertModel(_ db: Database, _ name: String) throws {
        try db.execute(sql: "INSERT OR IGNORE INTO model (name) VALUES (?)", arguments: [name])
    }

    static func models(_ db: Database) throws -> [(id: Int64, name: String, isPaused: Bool)] {
        try Row.fetchCursor(db, sql: "SELECT id, name, paused FROM model").array { ($0[0], $0[1], $0[2]) }
    }

    static func setPaused(_ db: Database, _ isPaused: Bool, model: Int64) throws {
        try db.execute(sql: "UPDATE model SET paused = ? WHERE id = ?", arguments: [isPaused, model])
    }

    /// The oldest pending job of a model.
    static func oldestPending(_ db: Database, model: Int64) throws -> JobKey? {
        let statement = try db.cachedStatement(
            sql: """
                SELECT min(key) FROM (SELECT min(key) AS key FROM job WHERE model = ?1 AND phase = 0 \
                UNION ALL SELECT min(key) FROM job WHERE model = ?1 AND phase = 1)
                """
        )
        return try Int64.fetchOne(statement, arguments: [model]).map(JobKey.init(value:))
    }

    static func meta(_ db: Database, _ name: String) throws -> Data? {
        try Data.fetchOne(db, sql: "SELECT value FROM meta WHERE name = ?", arguments: [name])
    }

    static func setMeta(_ db: Database, _ name: String, _ value: Data) throws {
        try db.execute(sql: "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", arguments: [name, value])
    }
}

// MARK: Deletion

extension SQL {
    /// Removes a job with its events and its key, and remembers that it was there.
    static func deleteJob(_ db: Database, _ job: Job, at now: Timestamp) throws {
        try db.cachedStatement(sql: "DELETE FROM job WHERE key = ?").execute(arguments: [job.key.value])
        try db.cachedStatement(sql: "INSERT INTO tombstone (job, id, event_id, at) VALUES (?, ?, ?, ?)")
            .execute(arguments: [job.key.value, job.id.data, job.eventID.data, now.milliseconds])
        // The last million is kept. One more comes, so at most one goes.
        try db.cachedStatement(sql: "DELETE FROM tombstone WHERE number <= ? - 1000000")
            .execute(arguments: [db.lastInsertedRowID])
    }

    /// Whether a job with this `id` or `event_id` was deleted.
    static func isDeleted(_ db: Database, _ id: UUIDv7) throws -> Bool {
        let statement = try db.cachedStatement(
            sql: "SELECT EXISTS (SELECT 1 FROM tombstone WHERE job = ?1 AND (id = ?2 OR event_id = ?2))"
        )
        return try Bool.fetchOne(statement, arguments: [id.key.value, id.data]) ?? false
    }

    /// Forgets deletions before `moment`.
    ///
    /// - Returns: how many there were, at most `limit`.
    static func deleteTombstones(_ db: Database, before moment: Timestamp, limit: Int) throws -> Int {
        // They are numbered in the order of their time, so the first ones are the oldest.
        try db.execute(
            sql: """
                DELETE FROM tombstone WHERE number IN \
                (SELECT number FROM tombstone ORDER BY number LIMIT ?) AND at < ?
                """,
            arguments: [limit, moment.milliseconds]
        )
        return db.changesCount
    }
}
