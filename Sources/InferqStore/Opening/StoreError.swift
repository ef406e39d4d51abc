import Foundation
import GRDB

/// What can be wrong with the store as a whole. Each description is one sentence that says what to do.
package enum StoreError: Error, Sendable, Equatable {
    /// The file is there and is not a store that can be read.
    case corrupt(path: String, reason: String)
    /// A database of another program.
    case foreign(path: String)
    /// Written by a newer version of this program, which may have left a copy of what was there before.
    case newer(path: String, version: Int, copy: String?)
    /// Cannot be created or opened.
    case unusable(path: String, reason: String)
    /// Another process holds it.
    case held(path: String)
    /// The disk is full. Nothing of the operation was kept; it may be tried again.
    case full
    /// A part of the file, or of a file beside it, is not what was written. Nothing was answered or changed by it.
    case damaged(reason: String)
    /// The disk failed. Nothing is acknowledged from then on; the process must end and start again.
    case failed(reason: String)
    /// A file of the open store was removed or replaced. As ``failed(reason:)``.
    case moved(path: String)
    /// What was asked for was there, and has been removed meanwhile.
    case gone
    /// The program is stopping.
    case closed
}

extension StoreError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .corrupt(let path, let reason):
            "the store \(path) is damaged (\(reason)): restore a backup, or move the file and its -wal, -shm and .lock "
                + "away to start with an empty store"
        case .foreign(let path):
            "\(path) is not an inferq store: name another file in store.path"
        case .newer(let path, let version, let copy):
            "the store \(path) was written by a newer inferq (schema \(version), this one knows \(Schema.version)): "
                + "install that version again"
                + (copy.map { ", or put \($0) in its place, the copy that was made before the upgrade" } ?? "")
        case .unusable(let path, let reason):
            "the store \(path) cannot be opened (\(reason)): check store.path, its owner and its permissions"
        case .held(let path):
            "the store \(path) is held by another process: stop that one or name another file in store.path"
        case .full: "the disk of the store is full: make room"
        case .damaged(let reason):
            "a part of the store is damaged (\(reason)): stop inferq and restore a backup"
        case .failed(let reason): "the disk of the store failed (\(reason)): check the disk, then start inferq again"
        case .moved(let path):
            "\(path) was removed or replaced while inferq used it: put it back or restore a backup, then start inferq "
                + "again"
        case .gone: "the job has since been removed: stop asking for it"
        case .closed: "the store is closed: inferq is stopping"
        }
    }
}

extension StoreError {
    /// What ends all promises: an I/O error, above all of an fsync, which must never be tried again, since the kernel
    /// has dropped the pages that it could not write and a second fsync "succeeds" (Rebello et al., USENIX ATC 2020).
    static func fatal(_ error: any Error) -> StoreError? {
        guard let error = error as? DatabaseError else { return nil }
        switch error.resultCode {
        // Anyone who met a damaged page is told; SQLite has undone the transaction, and all other pages are as they were.
        case _ where isFull(error) || isSealBroken(error): return nil
        case .SQLITE_CORRUPT, .SQLITE_NOTADB: return damage(error)
        case .SQLITE_IOERR:
            return .failed(reason: "\(error.extendedResultCode): \(error.message ?? "no message")")
        default: return nil
        }
    }

    /// A read that the database refused: said to the client, who may try again. Nothing was promised by it, so the
    /// process goes on; a disk that has failed shows at the next commit.
    static func ofRead(_ error: any Error) -> any Error {
        guard let error = error as? DatabaseError else { return error }
        if let damage = damage(error) { return damage }
        return StoreError.failed(reason: "\(error.extendedResultCode): \(error.message ?? "no message")")
    }

    /// Database errors that the caller can act on become ours; its own errors pass.
    static func wrapped(_ error: any Error) -> any Error {
        guard let database = error as? DatabaseError else { return error }
        return isFull(database) ? StoreError.full : damage(database) ?? error
    }

    /// What `errno` says of a file of the store.
    static func ofFile(_ code: Int32) -> StoreError {
        switch code {
        case ENOSPC, EDQUOT: .full
        case ENOENT: .gone
        default: .failed(reason: String(cString: strerror(code)))
        }
    }

    private static func damage(_ error: DatabaseError) -> StoreError? {
        if isSealBroken(error) { return .damaged(reason: "the checksum of a page is wrong") }
        guard [.SQLITE_CORRUPT, .SQLITE_NOTADB].contains(error.resultCode) else { return nil }
        return .damaged(reason: error.message ?? "\(error.extendedResultCode)")
    }

    /// Whether a page is not what was written; the same class as a disk that fails.
    static func isSealBroken(_ error: DatabaseError) -> Bool {
        error.extendedResultCode == .SQLITE_IOERR_DATA
    }

    /// SQLite calls it an I/O error when the WAL's index, a file too, finds no room to grow.
    static func isFull(_ error: DatabaseError) -> Bool {
        error.resultCode == .SQLITE_FULL || error.extendedResultCode == .SQLITE_IOERR_SHMSIZE
    }
}
