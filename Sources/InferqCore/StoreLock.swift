import Foundation

#if canImport(Glibc)
    import Glibc
#endif

/// Keeps a second process out of the store. The kernel drops the lock with the process, however that ends.
final class StoreLock: Sendable {
    private let descriptor: Int32

    /// - Parameters:
    ///   - patience: how long a predecessor that is just ending is waited for.
    ///   - onWait: called once if there is one.
    /// - Throws: ``StoreError/held(path:)`` or ``StoreError/unusable(path:reason:)``.
    init(path: String, patience: Duration = .seconds(10), onWait: (Duration) -> Void = { _ in }) throws {
        descriptor = open(path + ".lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else {
            throw StoreError.unusable(path: path + ".lock", reason: String(cString: strerror(errno)))
        }
        let deadline = ContinuousClock.now + patience
        var isWaiting = false
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            guard errno == EWOULDBLOCK || errno == EINTR, ContinuousClock.now < deadline else {
                Glibc.close(descriptor)
                throw StoreError.held(path: path)
            }
            if errno == EWOULDBLOCK, !isWaiting {
                isWaiting = true
                onWait(patience)
            }
            // The start has nothing else to do meanwhile, and flock with a time limit does not exist.
            Glibc.usleep(20_000)
        }
    }

    /// What is written in the lock file, for the next process: see ``WALMark``. At most 200 bytes; empty: nothing.
    var note: String {
        get {
            var bytes = [UInt8](repeating: 0, count: 200)
            let count = pread(descriptor, &bytes, bytes.count, 0)
            return String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self)
        }
        set {
            // A note that is lost or half written is void, and nothing else is.
            ftruncate(descriptor, 0)
            let bytes = Array(newValue.utf8)
            pwrite(descriptor, bytes, bytes.count, 0)
        }
    }

    deinit {
        Glibc.close(descriptor)
    }
}
