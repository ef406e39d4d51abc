import Foundation
import GRDB
package import InferqCore

/// Files that clients send and that batches write: a row each, and the bytes in a file beside the database.
extension JobStore {
    /// What is written of a new file beside its name and its bytes.
    package struct UploadDraft: Sendable {
        package let client: String
        package let purpose: Upload.Purpose
        package let name: String
        package let byteCount: Int
        package let digest: [UInt8]
        /// Nil: the retention says when it goes.
        package let lifetime: Duration?

        package init(
            client: String, purpose: Upload.Purpose, name: String, byteCount: Int, digest: [UInt8], lifetime: Duration?
        ) {
            self.client = client
            self.purpose = purpose
            self.name = name
            self.byteCount = byteCount
            self.digest = digest
            self.lifetime = lifetime
        }
    }

    /// Which files to list, the newest first unless the order is turned.
    package struct UploadFilter: Sendable {
        /// Whose; nil: everyone's.
        package var client: String?
        package var purpose: Upload.Purpose?
        /// The one that the page before ended with.
        package var after: UUIDv7?
        package var isOldestFirst = false
        package var limit = 10_000

        package init() {}
    }

    /// Stores a file whose bytes are on disk. When this returns, it is there.
    package func add(_ draft: UploadDraft, in blob: BlobName) async throws -> Upload {
        let issue = ids.next { clock.now }
        let now = issue.moment
        let upload = Self.upload(draft, in: blob, issue)
        let expiry = draft.lifetime.map { now.certain + $0 }
        let client = names.clients.entry(of: draft.client)
        try await commits.perform(
            .submit,
            then: { [ids, names] in
                if !issue.leads.isEmpty { ids.stored(issue.leads) }
                names.clients.stored(client)
            },
            { db in
                for lead in issue.leads { try SQL.insertLead(db, lead) }
                if !client.isStored { try SQL.insertClient(db, client) }
                try SQL.insertUpload(db, upload, client: client.id, expiry: expiry, at: now.certain)
            })
        return upload
    }

    static func upload(_ draft: UploadDraft, in blob: BlobName, _ issue: IDGenerator.Issue) -> Upload {
        let now = issue.moment.wall
        return Upload(
            id: issue.id, client: draft.client, purpose: draft.purpose, fileName: draft.name,
            byteCount: draft.byteCount, createdAt: now, expiresAt: draft.lifetime.map { now + $0 }, blob: blob,
            digest: draft.digest)
    }

    /// - Parameter client: whose it must be; nil: anybody's.
    package func upload(_ id: UUIDv7, of client: String?) async throws -> Upload? {
        try await reads.perform { [names] db in
            guard let found = try SQL.upload(db, id, names) else { return nil }
            return client == nil || found.client == client ? found : nil
        }
    }

    package func uploads(_ filter: UploadFilter) async throws -> [Upload] {
        // One that has had nothing stored has no file.
        if let client = filter.client, names.clients.id(of: client) == nil { return [] }
        return try await scan { [names] db in try SQL.uploads(db, filter, names) }
    }

    /// What became of a file that was to be removed.
    package enum UploadRemoval: Sendable {
        case removed
        /// It was not there.
        case missing
        /// A batch that has not ended needs it.
        case inUse
    }

    /// Removes a file.
    package func remove(_ upload: Upload) async throws -> UploadRemoval {
        let removal = try await commits.perform(.change) { db -> UploadRemoval in
            if try SQL.isInUse(db, upload.id.key) { return .inUse }
            return try SQL.deleteUpload(db, upload.id.key) ? .removed : .missing
        }
        // The row is gone on disk: only now may the file go.
        if case .removed = removal { await blobs.remove(upload.blob) }
        return removal
    }

    /// The bytes of a file, to be read from any place on.
    ///
    /// - Throws: ``StoreError``.
    package func bytes(of upload: Upload) async throws -> UploadBytes {
        try await whileNamed(upload.blob) {
            let path = blobs.path(of: upload.blob)
            guard let reader = try await FileReader.blocking({ try FileReader(path: path) }) else {
                throw StoreError.gone
            }
            guard reader.byteCount == upload.byteCount else {
                throw StoreError.damaged(reason: "a file no longer has its original length")
            }
            return UploadBytes(reader: reader)
        }
    }
}

/// The bytes of a file, while it is open.
package struct UploadBytes: Sendable {
    fileprivate let reader: FileReader

    package var count: Int { reader.byteCount }

    /// `count` bytes from `offset` on, or those that are left.
    package func read(from offset: Int, count: Int) async throws -> [UInt8] {
        try await reader.read(from: offset, count: min(count, max(0, reader.byteCount - offset)))
    }
}

extension SQL {
    private static let uploadColumns =
        "id, client, purpose, name, size, created_at, expires_at, blob, digest"

    static func insertUpload(
        _ db: Database, _ upload: Upload, client: Int64, expiry: Elapsed?, at since: Elapsed
    ) throws {
        try db.cachedStatement(
            sql: """
                INSERT INTO upload (key, \(uploadColumns), since, expiry) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """
        ).execute(arguments: [
            upload.id.key.value, upload.id.data, client, upload.purpose.rawValue, upload.fileName, upload.byteCount,
            upload.createdAt.milliseconds, upload.expiresAt?.milliseconds, upload.blob.text, Data(upload.digest),
            since.milliseconds, expiry?.milliseconds,
        ])
    }

    static func upload(_ db: Database, _ id: UUIDv7, _ names: StoredNames) throws -> Upload? {
        let statement = try db.cachedStatement(sql: "SELECT \(uploadColumns) FROM upload WHERE key = ? AND id = ?")
        return try Row.fetchCursor(statement, arguments: [id.key.value, id.data]).first { row in
            try upload(row, names)
        }
    }

    fileprivate static func uploads(
        _ db: Database, _ filter: JobStore.UploadFilter, _ names: StoredNames
    ) throws -> [Upload] {
        let order = filter.isOldestFirst ? "ASC" : "DESC"
        let after = filter.isOldestFirst ? ">" : "<"
        let client = filter.client.flatMap { names.clients.id(of: $0) }
        // One statement for each case, so that each finds its place in an index.
        let wanted: [(condition: String, value: Int64?)] = [
            ("client = ?", client), ("key \(after) ?", filter.after?.key.value),
            ("purpose = ?", filter.purpose?.rawValue),
        ]
        let conditions = wanted.filter { $0.value != nil }
        let sql = """
            SELECT \(uploadColumns) FROM upload \
            \(conditions.isEmpty ? "" : "WHERE " + conditions.map(\.condition).joined(separator: " AND ")) \
            ORDER BY key \(order) LIMIT ?
            """
        let arguments = StatementArguments(conditions.compactMap(\.value) + [Int64(filter.limit)])
        return try Row.fetchCursor(db.cachedStatement(sql: sql), arguments: arguments).array { row in
            try upload(row, names)
        }
    }

    fileprivate static func deleteUpload(_ db: Database, _ key: JobKey) throws -> Bool {
        try db.cachedStatement(sql: "DELETE FROM upload WHERE key = ?").execute(arguments: [key.value])
        return db.changesCount > 0
    }

    fileprivate static func isInUse(_ db: Database, _ key: JobKey) throws -> Bool {
        let statement = try db.cachedStatement(
            sql: "SELECT EXISTS (SELECT 1 FROM batch WHERE input_key = ? AND state < 4)")
        return try Bool.fetchOne(statement, arguments: [key.value]) ?? false
    }

    private static func upload(_ row: Row, _ names: StoredNames) throws -> Upload {
        guard let id = UUIDv7(data: row[0]), let client = names.clients.name(of: row[1]),
            let purpose = Upload.Purpose(rawValue: row[2])
        else { throw StoreError.corrupt(path: "table upload", reason: "a row does not match what was written") }
        return Upload(
            id: id, client: client, purpose: purpose, fileName: row[3], byteCount: row[4],
            createdAt: Timestamp(milliseconds: row[5]),
            expiresAt: (row[6] as Int64?).map(Timestamp.init(milliseconds:)), blob: BlobName(text: row[7]),
            digest: Array(row[8] as Data))
    }
}

// MARK: Retention

extension SQL {
    /// A file that may go, as the retention looks at it.
    struct EndingUpload {
        let key: JobKey
        let since: Elapsed
        let size: Int
        let blob: BlobName
    }

    /// The files that are there longest.
    static func oldestUploads(_ db: Database, limit: Int) throws -> [EndingUpload] {
        try endingUploads(db, "WHERE \(isFree) ORDER BY since LIMIT ?", [limit])
    }

    /// Files whose time is over.
    static func expiredUploads(_ db: Database, at now: Elapsed, limit: Int) throws -> [EndingUpload] {
        try endingUploads(db, "WHERE expiry <= ? AND \(isFree) ORDER BY expiry LIMIT ?", [now.milliseconds, limit])
    }

    /// No batch that has not ended needs it.
    static let isFree = "NOT EXISTS (SELECT 1 FROM batch WHERE input_key = upload.key AND state < 4)"

    private static func endingUploads(
        _ db: Database, _ rest: String, _ arguments: StatementArguments
    ) throws -> [EndingUpload] {
        let sql = "SELECT key, since, \(Schema.sizeOfUpload("upload")), blob FROM upload \(rest)"
        return try Row.fetchCursor(db.cachedStatement(sql: sql), arguments: arguments).array { row in
            EndingUpload(
                key: JobKey(value: row[0]), since: Elapsed(milliseconds: row[1]), size: row[2],
                blob: BlobName(text: row[3]))
        }
    }

    static func delete(_ upload: EndingUpload, _ db: Database) throws {
        _ = try deleteUpload(db, upload.key)
    }
}
