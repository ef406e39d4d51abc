import Foundation

#if canImport(Glibc)
    import Glibc
#endif

/// Keeps a second process out of the store. The kernel drops the lock with the process, however that ends.
final class StoreLock: Sendable {
    private let descriptor: Int32

    /// - Parameter patience: how long a predecessor that is just ending is waited for.
    /// - Throws: ``StoreError/held(path:)`` or ``StoreError/unusable(path:reason:)``.
    init(path: String, patience: Duration = .seconds(10)) throws {
        descriptor = open(path + ".lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else {
            throw StoreError.unusable(path: path + ".lock", reason: String(cString: strerror(errno)))
        }
        let deadline = ContinuousClock.now + patience
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            guard errno == EWOULDBLOCK || errno == EINTR, ContinuousClock.now < deadline else {
                Glibc.close(descriptor)
                throw StoreError.held(path: path)
            }
            // The start has nothing else to do meanwhile, and flock with a time limit does not exist.
            Glibc.usleep(20_000)
        }
    }

    deinit {
        Glibc.close(descriptor)
    }
}
