import GRDB
import GRDBSQLite
import Synchronization

/// How far the write-ahead log of one connection's commits has grown, as SQLite says it after each of them.
///
/// Used on that connection's queue alone, after ``watch(_:)``.
final class LogLength: Sendable {
    private struct State {
        var isWatching = false
        /// Frames that the log had after the last commit; it begins again when all of it was copied and no one reads it.
        var frames = 0
        /// Those that were added and not taken yet.
        var grown = 0
        var pageSize = 0
    }

    private let state = Mutex(State())
    /// Bytes of a page of the database.
    var pageSize: Int { state.withLock { $0.pageSize } }

    /// Bytes that commits have added since the last call.
    func takeGrowth() -> Int {
        state.withLock { state in
            defer { state.grown = 0 }
            return state.grown * (RecoveredLog.frameHeaderSize + state.pageSize)
        }
    }

    /// Bytes of so many frames.
    func byteCount(of frames: Int) -> Int {
        frames * (RecoveredLog.frameHeaderSize + pageSize)
    }

    /// Hears of each commit from now on; again, it does nothing. This object must outlive the connection's commits.
    func watch(_ db: Database) {
        guard !state.withLock({ $0.isWatching }) else { return }
        var pageSize = 0
        do {
            pageSize = try Int.fetchOne(db, sql: "PRAGMA page_size") ?? 0
        } catch {
            // What is wrong with the store, its next commit says.
        }
        state.withLock { [pageSize] state in
            state.isWatching = true
            state.pageSize = pageSize
        }
        let me = Unmanaged.passUnretained(self).toOpaque()
        sqlite3_wal_hook(
            db.sqliteConnection,
            { me, _, _, frames in
                if let me { Unmanaged<LogLength>.fromOpaque(me).takeUnretainedValue().note(Int(frames)) }
                return SQLITE_OK
            }, me)
    }

    private func note(_ frames: Int) {
        state.withLock { state in
            state.grown += frames > state.frames ? frames - state.frames : frames
            state.frames = frames
        }
    }
}
