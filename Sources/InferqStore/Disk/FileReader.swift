import Dispatch

#if canImport(Glibc)
    import Glibc
#endif

/// A file that is read piece by piece, on threads that may block.
final class FileReader: Sendable {
    /// In bytes, when it was opened.
    let byteCount: Int
    /// Seconds since 1970 of the last change.
    let modified: Int
    private let descriptor: Int32

    private static let queue = DispatchQueue(label: "inferq.files", attributes: .concurrent)

    /// Opens a file; blocks.
    ///
    /// - Returns: nil when there is none.
    /// - Throws: ``StoreError/failed(reason:)``.
    init?(path: String) throws(StoreError) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        if descriptor < 0, errno == ENOENT { return nil }
        guard descriptor >= 0 else { throw StoreError.failed(reason: String(cString: strerror(errno))) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            Glibc.close(descriptor)
            throw StoreError.failed(reason: String(cString: strerror(errno)))
        }
        self.descriptor = descriptor
        byteCount = Int(status.st_size)
        modified = status.st_mtim.tv_sec
    }

    deinit {
        Glibc.close(descriptor)
    }

    /// Bytes from `offset` on, `count` of them or those that are left.
    func read(from offset: Int, count: Int) async throws -> [UInt8] {
        try await Self.blocking { try self.readNow(from: offset, count: count) }
    }

    private func readNow(from offset: Int, count: Int) throws(StoreError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
            let got = bytes.withUnsafeMutableBytes { buffer in
                buffer.baseAddress.map { pread(descriptor, $0 + filled, count - filled, offset + filled) } ?? 0
            }
            if got == 0 { break }
            if got < 0, errno != EINTR { throw StoreError.failed(reason: String(cString: strerror(errno))) }
            filled += max(got, 0)
        }
        bytes.removeLast(count - filled)
        return bytes
    }

    /// Runs file calls some time soon, where they may block.
    static func later(_ work: @escaping @Sendable () -> Void) {
        queue.async(execute: work)
    }

    /// Runs file calls where they may block.
    static func blocking<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { continuation.resume(with: Result(catching: work)) }
        }
    }
}
