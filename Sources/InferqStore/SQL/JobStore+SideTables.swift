import Foundation
import GRDB
import InferqCore

// The statements of the tables beside jobs and events.

// MARK: Idempotency keys

extension SQL {
    /// The job that a key of a client belongs to, if need be one that the retention has removed.
    ///
    /// - Throws: ``KeyReused`` when it belongs to another request.
    static func jobOf(_ db: Database, _ key: IdempotencyKey, client: Int64?) throws -> UUIDv7? {
        let statement = try db.cachedStatement(
            sql: """
                SELECT idempotency.digest, ifnull(job.id, tombstone.id) FROM idempotency \
                LEFT JOIN job ON job.key = idempotency.job LEFT JOIN tombstone ON tombstone.job = idempotency.job \
                WHERE idempotency.key = ? AND (job.key IS NOT NULL OR tombstone.job IS NOT NULL)
                """
        )
        return try Row.fetchCursor(statement, arguments: [text(key, client)]).first { row in
            guard row[0] as Data == Data(key.digest) else { throw KeyReused() }
            return UUIDv7(data: row[1])
        } ?? nil
    }

    static func insertKey(
        _ db: Database, _ key: IdempotencyKey, client: Int64?, of job: JobKey, at now: Moment
    ) throws {
        // Replaces the key of a job that is not even remembered any more: see ``jobOf(_:_:client:)``.
        try db.cachedStatement(sql: "INSERT OR REPLACE INTO idempotency (key, digest, job, at) VALUES (?, ?, ?, ?)")
            .execute(arguments: [text(key, client), Data(key.digest), job.value, now.certain.milliseconds])
    }

    /// As it is stored: the keys of two clients never meet.
    private static func text(_ key: IdempotencyKey, _ client: Int64?) -> String {
        guard let client, client != ClientNames.anonymous else { return key.text }
        return "\(client) \(key.text)"
    }
}

// MARK: Models, clients and meta data

extension SQL {
    static func clients(_ db: Database) throws -> [(id: Int64, name: String)] {
        try Row.fetchCursor(db, sql: "SELECT id, name FROM client").array { ($0[0], $0[1]) }
    }

    static func insertClient(_ db: Database, _ client: ClientNames.Entry) throws {
        try db.cachedStatement(sql: "INSERT OR IGNORE INTO client (id, name) VALUES (?, ?)")
            .execute(arguments: [client.id, client.name])
    }

    static func insertModel(_ db: Database, _ name: String) throws {
        try db.execute(sql: "INSERT OR IGNORE INTO model (name) VALUES (?)", arguments: [name])
    }

    static func models(_ db: Database) throws -> [(id: Int64, name: String, isPaused: Bool)] {
        try Row.fetchCursor(db, sql: "SELECT id, name, paused FROM model").array { ($0[0], $0[1], $0[2]) }
    }

    static func setPaused(_ db: Database, _ isPaused: Bool, model: Int64) throws {
        try db.execute(sql: "UPDATE model SET paused = ? WHERE id = ?", arguments: [isPaused, model])
    }

    /// When the oldest pending job of a model was submitted.
    ///
    /// - Parameter client: whose job; nil: everyone's.
    static func oldestPending(_ db: Database, model: Int64, of client: Int64? = nil) throws -> Elapsed? {
        let keys = [0, 1].map { phase in
            "SELECT min(key) AS key FROM \(jobs(of: client)) AND model = ? AND phase = \(phase)"
        }
        let statement = try db.cachedStatement(
            sql: """
                SELECT elapsed FROM event \
                WHERE job = (SELECT min(key) FROM (\(keys.joined(separator: " UNION ALL ")))) ORDER BY id LIMIT 1
                """
        )
        let owner = [client, model].compactMap { $0 }
        return try Int64.fetchOne(statement, arguments: StatementArguments(owner + owner))
            .map(Elapsed.init(milliseconds:))
    }

    static func leads(_ db: Database) throws -> [IDLead] {
        try Row.fetchCursor(db, sql: "SELECT key, milliseconds FROM lead ORDER BY key")
            .array { IDLead(key: JobKey(value: $0[0]), milliseconds: $0[1]) }
    }

    static func insertLead(_ db: Database, _ lead: IDLead) throws {
        try db.cachedStatement(sql: "INSERT OR REPLACE INTO lead (key, milliseconds) VALUES (?, ?)")
            .execute(arguments: [lead.key.value, lead.milliseconds])
    }

    /// Forgets those that no job needs.
    static func deleteOldLeads(_ db: Database) throws {
        try db.execute(
            sql: """
                DELETE FROM lead \
                WHERE key < (SELECT max(key) FROM lead WHERE key <= (SELECT min(key) FROM job))
                """
        )
    }

    static func meta(_ db: Database, _ name: String) throws -> Data? {
        try Data.fetchOne(db, sql: "SELECT value FROM meta WHERE name = ?", arguments: [name])
    }

    static func setMeta(_ db: Database, _ name: String, _ value: Data) throws {
        try db.execute(sql: "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", arguments: [name, value])
    }
}
