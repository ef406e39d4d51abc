import Foundation
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// The files of an open store, and whether they still have their names: what is written into a file that was removed or
/// replaced is gone at the next start, and nothing would say so.
///
/// The writer looks before it acknowledges a commit. Between commits the kernel tells of each change in the folder
/// (inotify), which costs nothing while there is none.
final class StoreFiles: Sendable {
    private let path: String
    private let lock: StoreLock
    /// Whether the log is noted: without a sync at each commit it may be gone after a power cut, and that is no damage.
    private let marksLog: Bool
    /// By name, as they were when the store had been opened.
    private let known: [(path: String, identity: FileIdentity)]
    /// What ends the watch.
    private let watch = Mutex<FolderWatch.Number?>(nil)

    /// - Parameter path: of a store that is open, so that its log is there.
    /// - Throws: ``StoreError/moved(path:)``.
    init(path: String, lock: StoreLock, marksLog: Bool) throws {
        self.path = path
        self.lock = lock
        self.marksLog = marksLog
        known = try ["", "-wal", ".lock"].map { suffix in
            guard let identity = FileIdentity(of: path + suffix) else { throw StoreError.moved(path: path + suffix) }
            return (path + suffix, identity)
        }
    }

    /// Nil while each file is where it was: three calls that ask the kernel's memory.
    var trouble: StoreError? {
        known.first { FileIdentity(of: $0.path) != $0.identity }.map { .moved(path: $0.path) }
    }

    /// Notes which log belongs to the store as it is now: on the writer, so that no checkpoint comes in between.
    ///
    /// - Returns: false when there is no log yet.
    func noteLog() -> Bool {
        guard marksLog else {
            lock.note = ""
            return true
        }
        guard let note = WALMark.note(of: path) else { return false }
        lock.note = note
        return true
    }

    /// Calls `onTrouble` once something has happened to the files, from now until ``close()``.
    ///
    /// Without it, where the kernel has no watch to give, the next commit or the next question for readiness finds it.
    func watch(_ onTrouble: @escaping @Sendable (StoreError) -> Void) {
        let number = FolderWatch.shared?.add(StorePath.folder(of: path)) { [weak self] in
            if let trouble = self?.watched() { onTrouble(trouble) }
        }
        watch.withLock { $0 = number }
    }

    private func watched() -> StoreError? {
        watch.withLock({ $0 }) == nil ? nil : trouble
    }

    /// Looks no more: SQLite itself removes the log when it closes.
    func close() {
        let number = watch.withLock { number in
            defer { number = nil }
            return number
        }
        if let number { FolderWatch.shared?.remove(number) }
    }

    deinit {
        close()
    }
}
