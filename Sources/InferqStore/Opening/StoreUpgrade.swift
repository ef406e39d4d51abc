import Foundation
import GRDB

#if canImport(Glibc)
    import Glibc
#endif

/// Makes an older store current, and leaves a copy of the older one beside it for anyone who must go back.
package struct StoreUpgrade: Sendable, Equatable {
    /// The schema that was found.
    package let schema: Int32
    /// Where the copy lies: the database alone, without the files in `blobs/`.
    package let copy: String

    /// Pages that are copied at a time; no one else uses the store yet.
    private static let step: Int32 = 4096

    /// Where the copy of a store with an older schema lies.
    static func copyPath(of store: String, schema: Int32) -> String {
        "\(store).schema\(schema)"
    }

    /// Runs what `migrations` have that the store has not, all in one transaction, after a copy was made and synced.
    ///
    /// - Parameter migrations: the n-th one makes a store of schema n one of schema n + 1.
    /// - Returns: nil when the store was current.
    /// - Throws: ``StoreError`` or a database error; then the store is as it was.
    static func run(
        _ pool: DatabasePool,
        path: String,
        migrations: [Schema.Migration] = Schema.migrations
    ) throws -> StoreUpgrade? {
        try pool.writeWithoutTransaction { db in
            let schema = try Int32.fetchOne(db, sql: "PRAGMA user_version") ?? 0
            let steps = migrations.dropFirst(Int(schema) - 1)
            guard !steps.isEmpty else { return nil }
            let copy = copyPath(of: path, schema: schema)
            try write(db, to: copy)
            try db.inTransaction(.immediate) {
                for migrate in steps { try migrate(db) }
                try db.execute(sql: "PRAGMA user_version = \(schema + Int32(steps.count))")
                return .commit
            }
            return StoreUpgrade(schema: schema, copy: copy)
        }
    }

    /// The copy appears under its name when it is complete and on disk.
    private static func write(_ db: Database, to path: String) throws {
        let draft = path + ".new"
        do {
            let pages = try PageCopy(of: db, into: draft)
            while try !pages.step(step) {}
            try sync(draft, O_RDWR)
            guard rename(draft, path) == 0 else { throw failure("renamed") }
            try sync((path as NSString).deletingLastPathComponent, O_RDONLY | O_DIRECTORY)
        } catch {
            unlink(draft)
            throw error
        }
    }

    private static func sync(_ path: String, _ flags: Int32) throws {
        let descriptor = open(path.isEmpty ? "." : path, flags | O_CLOEXEC)
        defer { close(descriptor) }
        guard descriptor >= 0, fsync(descriptor) == 0 else { throw failure("synced") }
    }

    private static func failure(_ verb: String) -> StoreError {
        let code = errno
        if code == ENOSPC || code == EDQUOT { return .full }
        return .failed(reason: "the copy of the older store could not be \(verb): \(String(cString: strerror(code)))")
    }
}

extension StoreError {
    /// - Parameter path: of a store that a newer program has written; the copy that it made is looked for beside it.
    static func newer(_ path: String, schema: Int32) -> StoreError {
        let copy = StoreUpgrade.copyPath(of: path, schema: Schema.version)
        return .newer(
            path: path, version: Int(schema), copy: FileManager.default.fileExists(atPath: copy) ? copy : nil)
    }
}
