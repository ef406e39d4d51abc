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

/// Those that a file of a client is made of come first.
private enum UploadColumn: CInt, NamedColumn {
    case id, client, purpose, name, size, createdAt, expiresAt, blob, digest
    // What only statements look at.
    case key, since, expiry
}

/// What the retention looks at; `size` is what it counts, not the file's own size.
private enum EndingUploadColumn: CInt, NamedColumn {
    case key, since, blob, size
}

extension SQL {
    private static let uploadColumns = UploadColumn.allCases.prefix { $0 != .key }.names

    private static let uploadInsertion = SQLText<UploadColumn>(
        """
        INSERT INTO upload (\(UploadColumn.allCases.names)) VALUES (\(UploadColumn.allCases.parameters))
        """
    )
    private static let uploadSelection = SQLText<UploadColumn>(
        "SELECT \(uploadColumns) FROM upload WHERE key = ? AND id = ?")

    static func insertUpload(
        _ db: Database, _ upload: Upload, client: Int64, expiry: Elapsed?, at since: Elapsed
    ) throws {
        try db.with(uploadInsertion) { row in
            try row.bind(.key, upload.id.key)
            try row.bind(.id, upload.id)
            try row.bind(.client, client)
            try row.bind(.purpose, upload.purpose.rawValue)
            try row.bind(.name, upload.fileName)
            try row.bind(.size, upload.byteCount)
            try row.bind(.createdAt, upload.createdAt)
            try row.bind(.expiresAt, upload.expiresAt)
            try row.bind(.blob, upload.blob.text)
            try row.bind(.digest, upload.digest)
            try row.bind(.since, since)
            try row.bind(.expiry, expiry)
            try row.run()
        }
    }

    static func upload(_ db: Database, _ id: UUIDv7, _ names: StoredNames) throws -> Upload? {
        try db.with(uploadSelection) { row in
            try row.bind(id.key)
            try row.bind(id)
            return try row.first { try upload($0, names) }
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
        return try db.with(SQLText<UploadColumn>(sql)) { row in
            for each in conditions { try row.bind(each.value) }
            try row.bind(filter.limit)
            return try row.array { try upload($0, names) }
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

    private static func upload(_ row: PreparedStatement<UploadColumn>, _ names: StoredNames) throws -> Upload {
        guard let client = names.clients.name(of: try row.int64(.client)),
            let purpose = Upload.Purpose(rawValue: try row.int64(.purpose))
        else { throw StoreError.corrupt(path: "table upload", reason: "a row does not match what was written") }
        return Upload(
            id: try row.present(.id, PreparedStatement.uuid),
            client: client,
            purpose: purpose,
            fileName: try row.present(.name, PreparedStatement.text),
            byteCount: try row.int(.size),
            createdAt: try row.present(.createdAt, PreparedStatement.time),
            expiresAt: try row.time(.expiresAt),
            blob: BlobName(text: try row.present(.blob, PreparedStatement.text)),
            digest: try row.present(.digest, PreparedStatement.bytes))
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
        try db.with(oldest) { row in
            try row.bind(limit)
            return try row.array(ending)
        }
    }

    /// Files whose time is over.
    static func expiredUploads(_ db: Database, at now: Elapsed, limit: Int) throws -> [EndingUpload] {
        try db.with(expired) { row in
            try row.bind(now)
            try row.bind(limit)
            return try row.array(ending)
        }
    }

    /// No batch that has not ended needs it.
    static let isFree = "NOT EXISTS (SELECT 1 FROM batch WHERE input_key = upload.key AND state < 4)"

    private static let oldest = endingUploads("\(isFree) ORDER BY since")
    private static let expired = endingUploads("expiry <= ? AND \(isFree) ORDER BY expiry")

    private static func endingUploads(_ condition: String) -> SQLText<EndingUploadColumn> {
        SQLText(
            """
            SELECT \([EndingUploadColumn.key, .since, .blob].names), \(Schema.sizeOfUpload("upload")) FROM upload \
            WHERE \(condition) LIMIT ?
            """
        )
    }

    private static func ending(_ row: PreparedStatement<EndingUploadColumn>) throws -> EndingUpload {
        EndingUpload(
            key: try row.key(.key), since: try row.present(.since, PreparedStatement.elapsed), size: try row.int(.size),
            blob: BlobName(text: try row.present(.blob, PreparedStatement.text)))
    }

    static func delete(_ upload: EndingUpload, _ db: Database) throws {
        _ = try deleteUpload(db, upload.key)
    }
}
