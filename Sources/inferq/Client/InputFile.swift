import Glibc
import NIOCore
import NIOPosix

/// A file or pipe that is read to its end once; the reads block threads that are there for it.
final class InputFile: Sendable {
    /// For sentences about it.
    let name: String
    private let descriptor: CInt
    private let isOwned: Bool

    /// - Throws: ``ClientError`` if the file cannot be opened.
    init(path: String) throws(ClientError) {
        name = path.quoted()
        isOwned = true
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        if descriptor < 0 {
            let reason = String(cString: strerror(errno))
            throw ClientError(.usage, "\(name) cannot be read (\(reason)); name a file, or give a JSON object")
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
    func read(upTo limit: Int) async throws -> [UInt8] {
        try await NIOThreadPool.singleton.runIfActive { [self] in
            var bytes: [UInt8] = []
            while bytes.count < limit {
                let next = try readOnce(upTo: min(limit - bytes.count, 256 << 10))
                if next.isEmpty { break }
                bytes += next
            }
            return bytes
        }
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
struct FileChunks: AsyncSequence, Sendable {
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

    func makeAsyncIterator() -> Iterator {
        Iterator(start: start, rest: rest, left: byteCount ?? .max)
    }

    struct Iterator: AsyncIteratorProtocol {
        fileprivate var start: [UInt8]?
        fileprivate let rest: InputFile
        /// A file that grows while it is sent is sent as long as it was.
        fileprivate var left: Int64

        mutating func next() async throws -> ByteBuffer? {
            try await nextBytes().map { ByteBuffer(bytes: $0) }
        }

        /// Nil at the end.
        mutating func nextBytes() async throws -> [UInt8]? {
            if let first = start {
                start = nil
                left -= Int64(first.count)
                return first
            }
            guard left > 0 else { return nil }
            let bytes = try await rest.read(upTo: Int(Swift.min(left, 256 << 10)))
            left -= Int64(bytes.count)
            return bytes.isEmpty ? nil : bytes
        }
    }
}
