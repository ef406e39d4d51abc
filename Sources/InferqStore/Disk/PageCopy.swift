import GRDB
import GRDBSQLite

#if canImport(Glibc)
    import Glibc
#endif

/// The pages of the live database on their way into a file, a few at a time.
///
/// SQLite's backup interface on the writer's own connection: between two steps no transaction is open, so nothing holds
/// the write-ahead log, and what the writer changes meanwhile is carried over to pages that were copied before. Any
/// other connection would make it begin again at each commit.
final class PageCopy: @unchecked Sendable {  // proof: made, stepped and ended on the writer's queue alone
    private let target: OpaquePointer
    private let backup: OpaquePointer
    private var hasEnded = false

    /// Begins a copy into a new file at `path`; one that is there is removed.
    ///
    /// - Throws: ``StoreError`` when the file cannot be made.
    init(of db: Database, into path: String) throws(StoreError) {
        unlink(path)
        // For its owner alone: it holds what every client has sent, and the key that signs tokens.
        let descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw StoreError.copying(String(cString: strerror(errno)), code: errno) }
        close(descriptor)
        var connection: OpaquePointer?
        let code = sqlite3_open_v2(path, &connection, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nil)
        guard code == SQLITE_OK, let connection else {
            sqlite3_close(connection)
            throw StoreError.failed(reason: "the copy cannot be opened, SQLite says \(code)")
        }
        // The copy is worth nothing until it is complete, and is removed if it does not get there: nothing is synced.
        sqlite3_exec(connection, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF", nil, nil, nil)
        guard let backup = sqlite3_backup_init(connection, "main", db.sqliteConnection, "main") else {
            let reason = String(cString: sqlite3_errmsg(connection))
            sqlite3_close(connection)
            throw StoreError.failed(reason: "the copy cannot begin: \(reason)")
        }
        target = connection
        self.backup = backup
    }

    deinit {
        // Without effect but for a copy that was never stepped: the writer drops that one itself.
        end()
    }

    /// Ends the copy, complete or not.
    ///
    /// - Returns: what SQLite says of all steps together.
    @discardableResult
    func end() -> Int32 {
        guard !hasEnded else { return SQLITE_OK }
        hasEnded = true
        let code = sqlite3_backup_finish(backup)
        let closing = sqlite3_close(target)
        return code == SQLITE_OK ? closing : code
    }

    /// Copies at most `count` pages; outside of every transaction.
    ///
    /// - Returns: true once the file is complete, in the state of that moment.
    /// - Throws: ``StoreError``; the copy is then of no use.
    func step(_ count: Int32) throws(StoreError) -> Bool {
        let code = sqlite3_backup_step(backup, count)
        switch code {
        case SQLITE_OK, SQLITE_BUSY, SQLITE_LOCKED: return false
        case SQLITE_DONE:
            let last = end()
            guard last == SQLITE_OK else { throw failure(last) }
            return true
        default: throw failure(code)
        }
    }

    private func failure(_ code: Int32) -> StoreError {
        switch code {
        case SQLITE_FULL: .full
        case ResultCode.SQLITE_IOERR_DATA.rawValue: .damaged(reason: "the checksum of a page is wrong")
        case SQLITE_CORRUPT, SQLITE_NOTADB: .damaged(reason: String(cString: sqlite3_errstr(code)))
        default: .failed(reason: String(cString: sqlite3_errstr(code)))
        }
    }
}

extension StoreError {
    fileprivate static func copying(_ reason: String, code: Int32) -> StoreError {
        code == ENOSPC || code == EDQUOT ? .full : .failed(reason: "a copy cannot be made: \(reason)")
    }
}
