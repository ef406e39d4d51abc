#if canImport(Glibc)
    import Glibc
#endif

/// Tells after a crash whether the WAL that is beside a store is the one that the store was left with.
///
/// SQLite opens a store without its WAL, or with another one's, and says nothing: the newest jobs would be gone, or
/// changed. So the lock file notes which file the store is, and which WAL was in use. The note counts only while the
/// store is byte for byte as it was noted: a backup that was put in its place, or a program that has recovered it,
/// makes it void. After a clean stop there is no note.
enum WALMark {
    /// How far the number of a log may have grown. It grows by one each time when the log begins again, and each log but
    /// the last was copied into the store, which changes it; but a copy is synced by `fdatasync`, which does not keep the
    /// time of the change, so after a power cut the store may look as it did some logs ago. A random number of another
    /// store's log is that near once in 65,536 times.
    private static let reach: UInt32 = 65_536

    /// The note of an open store; nil when it cannot be made.
    static func note(of path: String) -> String? {
        // A log that cannot be read is not noted, and anyone who reads it next says why.
        guard let identity = identity(of: path), let salt = (try? header(of: path))?.salt else { return nil }
        // The end tells a note that is whole.
        return "\(identity) \(salt) ."
    }

    /// - Throws: ``StoreError``: `corrupt`, or `failed` when the disk does not say.
    static func check(_ note: String, _ path: String) throws {
        let parts = note.split(separator: " ").map(String.init)
        guard parts.count == 3, let salt = UInt32(parts[1]) else { return }
        guard let identity = identity(of: path) else {
            guard errno == ENOENT else { return }
            throw StoreError.corrupt(
                path: path,
                reason: "the file is gone, and it was in use when inferq last ended; "
                    + "remove \(path).lock to create a new one anyway"
            )
        }
        guard identity == parts[0] else { return }
        var status = stat()
        guard stat(path + "-wal", &status) == 0 else {
            guard errno == ENOENT else { throw unreadable(errno) }
            throw StoreError.corrupt(
                path: path,
                reason:
                    "its -wal file, which held its newest jobs, is gone; remove \(path).lock to open it anyway"
            )
        }
        // Emptied by a checkpoint.
        guard status.st_size > 0 else { return }
        guard let found = try header(of: path), found.isIntact, found.salt &- salt <= reach else {
            throw StoreError.corrupt(path: path, reason: "its -wal file is damaged, or another store's")
        }
    }

    private static func unreadable(_ code: Int32) -> StoreError {
        .failed(reason: "its -wal file cannot be read: \(String(cString: strerror(code)))")
    }

    private static func identity(of path: String) -> String? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return "\(status.st_ino)-\(status.st_size)-\(status.st_mtim.tv_sec)-\(status.st_mtim.tv_nsec)"
    }

    /// "WAL Header" and "Checksum Algorithm" (https://www.sqlite.org/fileformat2.html, sections 4.1 and 4.2).
    ///
    /// - Returns: nil when there is none, or not all of one.
    /// - Throws: ``StoreError/failed(reason:)``.
    private static func header(of path: String) throws -> (salt: UInt32, isIntact: Bool)? {
        let descriptor = open(path + "-wal", O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            guard errno == ENOENT else { throw unreadable(errno) }
            return nil
        }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 32)
        let count = read(descriptor, &bytes, 32)
        guard count >= 0 else { throw unreadable(errno) }
        guard count == 32 else { return nil }
        func number(_ index: Int, isBig: Bool = true) -> UInt32 {
            let part = bytes[4 * index..<4 * index + 4]
            return isBig ? part.reduce(0) { $0 << 8 | UInt32($1) } : part.reversed().reduce(0) { $0 << 8 | UInt32($1) }
        }
        let isBig = number(0) == 0x377F_0683
        guard isBig || number(0) == 0x377F_0682 else { return (number(4), false) }
        var (first, second) = (UInt32(0), UInt32(0))
        for index in stride(from: 0, to: 6, by: 2) {
            first = first &+ number(index, isBig: isBig) &+ second
            second = second &+ number(index + 1, isBig: isBig) &+ first
        }
        return (number(4), first == number(6) && second == number(7))
    }
}
