import Foundation
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Keeps a second process out of the store. The kernel drops the lock with the process, however that ends.
///
/// Two locks, both of them held: one on a file beside the store, which is there before the store is, and one on the
/// store's file itself, which holds under every name that leads to it (a link, a bind mount). SQLite locks byte ranges
/// (`fcntl`), which a lock of this kind (`flock`) does not touch.
final class StoreLock: Sendable {
    private let path: String
    private let descriptor: Int32
    /// The store's file, once it is there; closed last of all, since any close lets go of SQLite's locks on it.
    private let file = Mutex<Int32?>(nil)
    /// What the note was when it was last read or written, so that the same one is not written again.
    private let known = Mutex<String?>(nil)

    /// Bytes of a note: less than a sector, so that it is on the disk whole or not at all.
    private static let noteSize = 128

    /// - Parameters:
    ///   - path: of the store, as ``StoreOpening/resolved(_:)`` gives it.
    ///   - patience: how long a predecessor that is just ending is waited for.
    ///   - onWait: called once if there is one.
    /// - Throws: ``StoreError/held(path:)`` or ``StoreError/unusable(path:reason:)``.
    init(path: String, patience: Duration = .seconds(10), onWait: (Duration) -> Void = { _ in }) throws {
        self.path = path
        descriptor = open(path + ".lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else {
            throw StoreError.unusable(path: path + ".lock", reason: String(cString: strerror(errno)))
        }
        // All is set from here on: what is thrown ends in `deinit`, which closes the file. To close it here as well would
        // close what another thread has just opened under the same number.
        var wait = Wait(deadline: ContinuousClock.now + patience)
        try wait.lock(descriptor, of: path) { onWait(patience) }
        try holdFile(&wait) { onWait(patience) }
    }

    /// Locks the store's file, now that it has been made.
    ///
    /// - Throws: as the initializer.
    func holdFile() throws {
        var wait = Wait(deadline: ContinuousClock.now)
        try holdFile(&wait) {}
    }

    private func holdFile(_ wait: inout Wait, _ onWait: () -> Void) throws {
        guard file.withLock({ $0 }) == nil else { return }
        while true {
            // Without waiting for a writer, should somebody have put a pipe there. What cannot be opened does not exist
            // yet, or is refused by the look at the file that follows.
            let found = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
            guard found >= 0 else { return }
            do {
                guard isStore(found) else {
                    Glibc.close(found)
                    return
                }
                try wait.lock(found, of: path, onWait)
                // Another file may have got the name while the lock was waited for.
                guard FileIdentity(of: path) == FileIdentity(found) else {
                    Glibc.close(found)
                    continue
                }
                try refuseOtherNames(found)
            } catch {
                Glibc.close(found)
                throw error
            }
            file.withLock { $0 = found }
            return
        }
    }

    private func isStore(_ descriptor: Int32) -> Bool {
        var status = stat()
        return fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }

    /// SQLite finds the log of a database by its name: opened by another one after a crash, the newest jobs would be
    /// missing, and the log would be another's later.
    private func refuseOtherNames(_ descriptor: Int32) throws {
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_nlink > 1 else { return }
        throw StoreError.unusable(
            path: path,
            reason: "it has \(status.st_nlink) names (hard links), each of which would have a -wal file of its own; "
                + "remove all but one of them"
        )
    }

    /// What is written in the lock file, for the next process: see ``WALMark``. Empty: nothing.
    var note: String {
        get {
            known.withLock { known in
                if let known { return known }
                var bytes = [UInt8](repeating: 0, count: Self.noteSize)
                let count = pread(descriptor, &bytes, bytes.count, 0)
                let text = String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self)
                let note = text.trimmingCharacters(in: .whitespacesAndNewlines.union(.controlCharacters))
                known = note
                return note
            }
        }
        set {
            let isKnown = known.withLock { known in
                defer { known = newValue }
                return known == newValue
            }
            guard !isKnown else { return }
            let line = newValue.utf8.prefix(Self.noteSize - 1)
            let bytes = line + [UInt8](repeating: UInt8(ascii: " "), count: Self.noteSize - 1 - line.count) + [10]
            // In one piece and in place, so that there is a note at every moment. One that is lost is void, and nothing
            // else is.
            pwrite(descriptor, Array(bytes), Self.noteSize, 0)
        }
    }

    deinit {
        if let file = file.withLock({ $0 }) { Glibc.close(file) }
        // Below 0 where the lock file could not be opened.
        if descriptor >= 0 { Glibc.close(descriptor) }
    }

    /// Waiting for another process, for both locks together.
    private struct Wait {
        let deadline: ContinuousClock.Instant
        private var isWaiting = false

        init(deadline: ContinuousClock.Instant) {
            self.deadline = deadline
        }

        mutating func lock(_ descriptor: Int32, of path: String, _ onWait: () -> Void) throws {
            while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
                guard errno == EWOULDBLOCK || errno == EINTR, ContinuousClock.now < deadline else {
                    throw StoreError.held(path: path)
                }
                if errno == EWOULDBLOCK, !isWaiting {
                    isWaiting = true
                    onWait()
                }
                // The start has nothing else to do meanwhile, and flock with a time limit does not exist.
                Glibc.usleep(20_000)
            }
        }
    }
}

/// Which file a name leads to.
struct FileIdentity: Sendable, Equatable {
    let device: UInt64
    let inode: UInt64

    private init(_ status: stat) {
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
    }

    /// Nil when there is none, or when it cannot be looked at.
    init?(of path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        self.init(status)
    }

    init?(_ descriptor: Int32) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return nil }
        self.init(status)
    }
}
