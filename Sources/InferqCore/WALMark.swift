#if canImport(Glibc)
    import Glibc
#endif

/// Tells after a crash whether the WAL that lies beside a store is the one that the store was left with.
///
/// SQLite opens a store without its WAL, or with another one's, and says nothing: the newest jobs would be gone, or
/// changed. So the lock file notes which file the store is, and which WAL was in use. The note counts only while the
/// store is byte for byte as it was noted: a backup that was put in its place, or a program that has recovered it,
/// makes it void. After a clean stop there is no note.
enum WALMark {
    /// The note of an open store; nil when it cannot be made.
    static func note(of path: String) -> String? {
        guard let identity = identity(of: path), let salt = header(of: path)?.salt else { return nil }
        // The end tells a note that is whole.
        return "\(identity) \(salt) ."
    }

    /// - Throws: ``StoreError/corrupt(path:reason:)``.
    static func check(_ note: String, _ path: String) throws {
        let parts = note.split(separator: " ").map(String.init)
        guard parts.count == 3, parts[0] == identity(of: path), let salt = UInt32(parts[1]) else { return }
        var status = stat()
        guard stat(path + "-wal", &status) == 0 else {
            throw StoreError.corrupt(
                path: path,
                reason:
                    "its -wal file is gone, which held its newest jobs; without \(path).lock it is opened all the same"
            )
        }
        // Emptied by a checkpoint.
        guard status.st_size > 0 else { return }
        // The number grows by one when the log begins anew, which it does at most once before the store itself changes.
        guard let found = header(of: path), found.isIntact, found.salt == salt || found.salt == salt &+ 1 else {
            throw StoreError.corrupt(path: path, reason: "its -wal file is damaged, or another store's")
        }
    }

    private static func identity(of path: String) -> String? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return "\(status.st_ino)-\(status.st_size)-\(status.st_mtim.tv_sec)-\(status.st_mtim.tv_nsec)"
    }

    /// "WAL Header" and "Checksum Algorithm" (https://www.sqlite.org/fileformat2.html, sections 4.1 and 4.2).
    private static func header(of path: String) -> (salt: UInt32, isIntact: Bool)? {
        let descriptor = open(path + "-wal", O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 32)
        guard read(descriptor, &bytes, 32) == 32 else { return nil }
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
