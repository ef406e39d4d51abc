import Foundation
import GRDB
import InferqCore

// The statements of the tables beside jobs and events.

// MARK: Idempotency keys

private enum KeyColumn: CInt, NamedColumn {
    case digest, job
    // What only statements look at.
    case key, at
}

extension SQL {
    private static let jobOfKey = SQLText<KeyColumn>(
        """
        SELECT idempotency.digest, ifnull(job.id, tombstone.id) FROM idempotency \
        LEFT JOIN job ON job.key = idempotency.job LEFT JOIN tombstone ON tombstone.job = idempotency.job \
        WHERE idempotency.key = ? AND (job.key IS NOT NULL OR tombstone.job IS NOT NULL)
        """
    )
    private static let keyInsertion = SQLText<KeyColumn>(
        """
        INSERT OR REPLACE INTO idempotency (\(KeyColumn.allCases.names)) VALUES (\(KeyColumn.allCases.parameters))
        """
    )

    /// The job that a key of a client belongs to, if need be one that the retention has removed.
    ///
    /// - Throws: ``KeyReused`` when it belongs to another request.
    static func jobOf(_ db: Database, _ key: IdempotencyKey, client: Int64?) throws -> UUIDv7? {
        try db.with(jobOfKey) { row in
            try row.bind(text(key, client))
            guard try row.step() else { return nil }
            guard try row.bytes(.digest) == key.digest else { throw KeyReused() }
            return try row.uuid(.job)
        }
    }

    static func insertKey(
        _ db: Database, _ key: IdempotencyKey, client: Int64?, of job: JobKey, at now: Moment
    ) throws {
        // Replaces the key of a job that is not even remembered any more: see ``jobOf(_:_:client:)``.
        try db.with(keyInsertion) { row in
            try row.bind(.key, text(key, client))
            try row.bind(.digest, key.digest)
            try row.bind(.job, job)
            try row.bind(.at, now.certain)
            try row.run()
        }
    }

    /// As it is stored: the keys of two clients never meet.
    private static func text(_ key: IdempotencyKey, _ client: Int64?) -> String {
        guard let client, client != ClientNames.anonymous else { return key.text }
        return "\(client) \(key.text)"
    }
}

// MARK: Models, clients and meta data

private enum ClientColumn: CInt, NamedColumn {
    case id, name
}

private enum ModelColumn: CInt, NamedColumn {
    case id, name, paused
}

private enum LeadColumn: CInt, NamedColumn {
    case key, milliseconds
}

extension SQL {
    private static let clientSelection = SQLText<ClientColumn>("SELECT \(ClientColumn.allCases.names) FROM client")
    private static let modelSelection = SQLText<ModelColumn>("SELECT \(ModelColumn.allCases.names) FROM model")
    private static let leadSelection = SQLText<LeadColumn>(
        "SELECT \(LeadColumn.allCases.names) FROM lead ORDER BY key")
    private static let leadInsertion = SQLText<LeadColumn>(
        """
        INSERT OR REPLACE INTO lead (\(LeadColumn.allCases.names)) VALUES (\(LeadColumn.allCases.parameters))
        """
    )

    static func clients(_ db: Database) throws -> [(id: Int64, name: String)] {
        try db.with(clientSelection) { row in
            try row.array { (try $0.int64(.id), try $0.present(.name, PreparedStatement.text)) }
        }
    }

    static func insertClient(_ db: Database, _ client: ClientNames.Entry) throws {
        try db.cachedStatement(sql: "INSERT OR IGNORE INTO client (id, name) VALUES (?, ?)")
            .execute(arguments: [client.id, client.name])
    }

    static func insertModel(_ db: Database, _ name: String) throws {
        try db.execute(sql: "INSERT OR IGNORE INTO model (name) VALUES (?)", arguments: [name])
    }

    static func models(_ db: Database) throws -> [(id: Int64, name: String, isPaused: Bool)] {
        try db.with(modelSelection) { row in
            try row.array {
                (try $0.int64(.id), try $0.present(.name, PreparedStatement.text), try $0.int(.paused) != 0)
            }
        }
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
        try db.with(leadSelection) { row in
            try row.array { IDLead(key: try $0.key(.key), milliseconds: try $0.int64(.milliseconds)) }
        }
    }

    static func insertLead(_ db: Database, _ lead: IDLead) throws {
        try db.with(leadInsertion) { row in
            try row.bind(.key, lead.key)
            try row.bind(.milliseconds, lead.milliseconds)
            try row.run()
        }
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
