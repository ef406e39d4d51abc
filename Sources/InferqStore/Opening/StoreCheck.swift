import GRDB
import InferqCore

/// Whether a store is whole: its pages and indexes, its references, and the files that its rows name.
package struct StoreCheck: Sendable, Equatable {
    /// One sentence each; empty when all is right. At most ``limit`` of a kind.
    package var problems: [String]
    package var databaseBytes = 0
    package var jobs = 0
    package var events = 0
    package var blobs = 0
    package var blobBytes = 0
    package var missing = 0
    package var torn = 0

    package static let limit = 20

    /// - Parameter problems: one sentence each.
    package init(problems: [String] = []) {
        self.problems = problems
    }

    /// Reads all of a database; blocks.
    static func database(_ db: Database) throws -> StoreCheck {
        var check = StoreCheck()
        do {
            for line in try String.fetchAll(db, sql: "PRAGMA integrity_check(\(limit))") where line != "ok" {
                check.problems.append("the database is damaged: \(line)")
            }
            let strays = try Row.fetchCursor(db, sql: "PRAGMA foreign_key_check")
            var count = 0
            while let row = try strays.next(), count < limit {
                let (table, parent): (String, String) = (row["table"], row["parent"])
                check.problems.append("a row of the table \(table) names none of the table \(parent)")
                count += 1
            }
            check.jobs = try SQL.count(db, "job")
            check.events = try SQL.count(db, "event")
        } catch let error as DatabaseError where error.resultCode == .SQLITE_IOERR && !StoreError.isSealBroken(error) {
            // A disk that does not give what it has is no damage.
            throw StoreError.ofRead(error)
        } catch let error as DatabaseError {
            let reason =
                StoreError.isSealBroken(error)
                ? "the checksum of a page is wrong" : error.message ?? "\(error.resultCode)"
            check.problems.append("the database cannot be read to its end: \(reason)")
        }
        return check
    }

    mutating func add(_ figures: StoreCopy.Figures) {
        databaseBytes = figures.databaseBytes
        (blobs, blobBytes, missing, torn) = (figures.blobs, figures.blobBytes, figures.missing, figures.torn)
        if missing > 0 { problems.append("\(missing) files in blobs/ that jobs name are missing") }
        if torn > 0 { problems.append("\(torn) files in blobs/ do not have the length that their jobs say") }
    }
}

extension StoreCopy {
    /// Checks the copy, and the blobs beside the store.
    package func check() async throws -> StoreCheck {
        var check = try await database.read { try StoreCheck.database($0) }
        check.add(figures)
        return check
    }
}

/// A blob as a row names it.
struct NamedBlob: Sendable {
    let name: BlobName
    let byteCount: Int
}
