import Foundation
import GRDB

#if canImport(Glibc)
    import Glibc
#endif

/// A store that no gateway serves, held so that none begins to: for a check or a copy without one. Changes nothing.
package final class IdleStore: Sendable {
    private let lock: StoreLock
    private let database: DatabaseQueue
    private let blobs: Blobs

    /// - Throws: ``StoreError``: `held` when a gateway has it.
    package init(path: String) throws {
        let path = try StorePath.resolved(path)
        var status = stat()
        guard stat(path, &status) == 0 else {
            throw StoreError.unusable(path: path, reason: String(cString: strerror(errno)))
        }
        lock = try StoreLock(path: path, patience: .zero)
        try StoreOpening.checkHeader(path)
        blobs = try Blobs(folder: StorePath.blobFolder(of: path)) { _ in }
        if geteuid() == 0 {
            // Root may be the first to make them, and its gateway another user.
            for made in [path + ".lock", StorePath.blobFolder(of: path)] {
                chown(made, status.st_uid, status.st_gid)
            }
        }
        // A damaged page is found by its checksum, here as in a gateway.
        PageSeal.install
        var configuration = Configuration()
        configuration.label = "inferq.idle"
        configuration.readonly = true
        do {
            database = try DatabaseQueue(path: path, configuration: configuration)
            let version = try database.read { try Int32.fetchOne($0, sql: "PRAGMA user_version") } ?? 0
            guard version <= Schema.version else { throw StoreError.newer(path, schema: version) }
        } catch let error as DatabaseError {
            throw StoreOpening.explained(error, path: path)
        }
    }

    /// Where the files of the store with this name really lie; `path` itself when that cannot be told.
    package static func place(of path: String) -> String {
        (try? StorePath.resolved(path)) ?? path  // The one that opens it says what is wrong.
    }

    /// Removes what is left of a copy at once: the process may end before that would happen by itself.
    package func close() {
        StoreCopy.sweep(database.path)
    }

    /// Reads all of it.
    package func check() async throws -> StoreCheck {
        var check = try await database.read { try StoreCheck.database($0) }
        check.add(try await StoreCopy.figures(database.path, database, blobs))
        return check
    }

    /// As ``JobStore/copy()``, but for what it leaves free, in bytes.
    package func copy(leaving reserve: Int) async throws -> StoreCopy {
        let bytes = try await database.read { db in
            (try Int.fetchOne(db, sql: "PRAGMA page_count") ?? 0) * (try Int.fetchOne(db, sql: "PRAGMA page_size") ?? 0)
        }
        let path = database.path
        return try await StoreCopy.take(path, blobs, byteCount: bytes, leaving: reserve) { copy in
            try await FileReader.blocking { [database] in
                try database.read { db in
                    let pages = try PageCopy(of: db, into: copy)
                    while try !pages.step(4096) {}
                }
            }
        }
    }
}
