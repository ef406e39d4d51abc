import Glibc
import NIOCore
import NIOPosix

/// A file or pipe that is read to its end once; the reads block threads that are there for it.
final class InputFile: Sendable {
    /// For sentences about it.
    let name: String
    private let descriptor: CInt
    private let isOwned: Bool

    /// - Parameter alternative: what may be given instead of a file.
    /// - Throws: ``ClientError`` if the file cannot be opened.
    init(path: String, or alternative: String) throws(ClientError) {
        name = path.quoted()
        isOwned = true
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        if descriptor < 0 {
            let reason = String(cString: strerror(errno))
            throw ClientError(.usage, "\(name) cannot be read (\(reason)); name a file, or give \(alternative)")
        }
    }

    init(standardInput name: String) {
        self.name = name
        isOwned = false
        descriptor = STDIN_FILENO
    }

    deinit {
        if isOwned && descriptor >= 0 { close(descriptor) }
    }

    /// How many bytes are still to be read, nil if it is no regular file.
    var bytesLeft: Int64? {
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        let position = lseek(descriptor, 0, SEEK_CUR)
        return position < 0 ? nil : max(0, Int64(status.st_size) - Int64(position))
    }

    /// The next bytes: fewer than `limit` only at the end.
    ///
    /// - Throws: ``ClientError``, or `CancellationError` at once when the task is cancelled: a pipe may stay silent
    ///   forever.
    func read(upTo limit: Int) async throws -> [UInt8] {
        let (results, continuation) = AsyncStream<Result<[UInt8], any Error>>.makeStream()
        NIOThreadPool.singleton.submit { [self] _ in
            continuation.yield(Result { try readNow(upTo: limit) })
        }
        guard let result = await results.first(where: { _ in true }) else { throw CancellationError() }
        return try result.get()
    }

    private func readNow(upTo limit: Int) throws(ClientError) -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < limit {
            let next = try readOnce(upTo: min(limit - bytes.count, 256 << 10))
            if next.isEmpty { break }
            bytes += next
        }
        return bytes
    }

    private func readOnce(upTo limit: Int) throws(ClientError) -> [UInt8] {
        while true {
            var failure: CInt = 0
            let bytes = [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
                let result = Glibc.read(descriptor, buffer.baseAddress, limit)
                if result < 0 { failure = errno }
                count = max(0, result)
            }
            if failure == 0 { return bytes }
            if failure != EINTR {
                throw ClientError(.usage, "\(name) cannot be read (\(String(cString: strerror(failure))))")
            }
        }
    }
}

/// What is left of a file, in pieces, read as they are asked for.
struct FileChunks: Sendable {
    /// Read already.
    let start: [UInt8]
    let rest: InputFile
    /// All bytes, those of `start` included; nil if only the end will tell.
    let byteCount: Int64?

    init(start: [UInt8], rest: InputFile) {
        self.start = start
        self.rest = rest
        byteCount = rest.bytesLeft.map { Int64(start.count) + $0 }
    }

    /// Gives all of it to `write`. A file that grows meanwhile is sent as long as it was.
    func send(to write: (ByteBuffer) async throws -> Void) async throws {
        try await write(ByteBuffer(bytes: start))
        var left = byteCount.map { $0 - Int64(start.count) } ?? .max
        while left > 0 {
            let bytes = try await rest.read(upTo: Int(min(left, 256 << 10)))
            guard !bytes.isEmpty else { return }
            left -= Int64(bytes.count)
            try await write(ByteBuffer(bytes: bytes))
        }
    }
}
