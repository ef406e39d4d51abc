#if canImport(Glibc)
    import Glibc
#endif

/// The files that the kernel writes while they are read, such as /proc/locks.
///
/// Foundation takes what the first read(2) gives for the whole of such a file, since its size is 0: 4 KiB at most.
package enum KernelFile {
    /// - Returns: all of it; nil if it cannot be read.
    package static func text(_ path: String) -> String? {
        guard let file = fopen(path, "re") else { return nil }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1 << 14)
        while true {
            let count = fread(&piece, 1, piece.count, file)
            bytes += piece.prefix(count)
            if count < piece.count { return ferror(file) == 0 ? String(decoding: bytes, as: UTF8.self) : nil }
        }
    }
}
