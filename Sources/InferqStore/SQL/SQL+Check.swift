import GRDB
import InferqCore

/// A blob that a row names.
private enum BlobColumn: CInt, NamedColumn {
    case name, size
}

/// What a check, a copy or a start asks of a store as a whole.
extension SQL {
    private static let namedBlobs = SQLText<BlobColumn>(
        """
        SELECT * FROM (SELECT input_file AS name, input_size FROM job \
        WHERE input_file IS NOT NULL AND input_file > ?1 ORDER BY input_file LIMIT ?2) \
        UNION ALL SELECT * FROM (SELECT output_file, output_size FROM job \
        WHERE output_file IS NOT NULL AND output_file > ?1 ORDER BY output_file LIMIT ?2) \
        UNION ALL SELECT * FROM (SELECT blob, size FROM upload WHERE blob > ?1 ORDER BY blob LIMIT ?2) \
        ORDER BY name LIMIT ?2
        """
    )

    /// Blobs that rows name, in the order of their names.
    static func blobs(_ db: Database, after name: String, limit: Int) throws -> [NamedBlob] {
        try db.with(namedBlobs) { row in
            try row.bind(name)
            try row.bind(limit)
            return try row.array {
                NamedBlob(
                    name: BlobName(text: try $0.present(.name, PreparedStatement.text)), byteCount: try $0.int(.size))
            }
        }
    }

    /// - Parameter table: a name of ours.
    static func count(_ db: Database, _ table: String) throws -> Int {
        try Int.fetchOne(db, sql: "SELECT count(*) FROM \(table)") ?? 0
    }

    static func removeMeta(_ db: Database, _ name: String) throws {
        try db.execute(sql: "DELETE FROM meta WHERE name = ?", arguments: [name])
    }

    static func sqliteVersion(_ db: Database) throws -> String {
        try String.fetchOne(db, sql: "SELECT sqlite_version()") ?? "unknown"
    }
}
