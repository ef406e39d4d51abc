import NIOCore
import NIOPosix

#if canImport(Glibc)
    import Glibc
#endif

/// The file of a listening Unix socket of our own. It takes the place of a file at which no one listens any more and of
/// no other, and it is removed only while it is still the one that was made.
///
/// The folder is locked while its file is looked at and changed, so that two gateways that start at once do not take
/// each other for dead: between bind(2) and listen(2) a socket refuses its callers too.
struct UnixSocketFile: Sendable {
    /// What is in the way.
    enum Occupied: Error {
        case bySocket
        case byOtherFile
    }

    private let path: String
    private let device: dev_t
    private let inode: ino_t

    /// Somebody else may use the lock for something long: then the change is made without it.
    private static let patienceWithLock: Duration = .seconds(1)

    private init(path: String, _ status: stat) {
        self.path = path
        device = status.st_dev
        inode = status.st_ino
    }

    /// A socket that listens, and its file.
    ///
    /// - Parameter isPrivate: whether no one but the file's owner may call; else the process's umask decides.
    /// - Throws: ``Occupied``, or an `IOError`.
    static func listen(
        at path: String, isPrivate: Bool, backlog: CInt
    ) async throws -> (descriptor: CInt, file: UnixSocketFile) {
        let lock = FolderLock(of: path)
        let deadline = ContinuousClock.now + patienceWithLock
        while let lock, !lock.isTaken(), ContinuousClock.now < deadline {
            try await Task.sleep(for: .milliseconds(10))
        }
        defer { lock?.close() }
        try makeRoom(at: path)
        let descriptor = try newSocket()
        do {
            // Before the file is there: bind(2) makes it with the mode of the socket, as far as the umask lets it.
            if isPrivate { try check("fchmod", fchmod(descriptor, 0o600)) }
            try withAddress(of: path) { address, length in
                try check("bind", Glibc.bind(descriptor, address, length))
            }
            try check("listen", Glibc.listen(descriptor, backlog))
            var status = stat()
            try check("lstat", lstat(path, &status))
            return (descriptor, UnixSocketFile(path: path, status))
        } catch {
            close(descriptor)
            throw error
        }
    }

    func remove() {
        let lock = FolderLock(of: path)
        defer { lock?.close() }
        // If somebody has it now, the inode tells all the same, but for a moment of which nothing worse comes than today.
        _ = lock?.isTaken()
        var status = stat()
        guard lstat(path, &status) == 0, status.st_dev == device, status.st_ino == inode else { return }
        unlink(path)
    }

    /// Removes the file of a socket at which no one listens.
    private static func makeRoom(at path: String) throws {
        var status = stat()
        guard stat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else { throw Occupied.byOtherFile }
        guard try !isAlive(path) else { throw Occupied.bySocket }
        guard unlink(path) == 0 || errno == ENOENT else { throw IOError(errnoCode: errno, reason: "unlink") }
    }

    private static func isAlive(_ path: String) throws -> Bool {
        let probe = try newSocket()
        defer { close(probe) }
        let code = try withAddress(of: path) { address, length in
            connect(probe, address, length) == 0 ? 0 : errno
        }
        switch code {
        case ECONNREFUSED, ENOENT: return false
        // One that may not connect there cannot know.
        case EACCES, EPERM: throw IOError(errnoCode: code, reason: "connect")
        // A queue of callers that is full (EAGAIN) and a socket of another kind (EPROTOTYPE) are alive too.
        default: return true
        }
    }

    private static func newSocket() throws -> CInt {
        // Non-blocking: a queue of callers that is full would make the probe wait.
        let type = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
        let descriptor = socket(AF_UNIX, CInt(type), 0)
        guard descriptor >= 0 else { throw IOError(errnoCode: errno, reason: "socket") }
        return descriptor
    }

    private static func check(_ call: String, _ result: CInt) throws {
        guard result == 0 else { throw IOError(errnoCode: errno, reason: call) }
    }

    private static func withAddress<Result>(
        of path: String,
        _ body: (UnsafePointer<sockaddr>, socklen_t) throws -> Result
    ) throws -> Result {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw IOError(errnoCode: ENAMETOOLONG, reason: "bind")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let length = socklen_t(MemoryLayout<sockaddr_un>.size)
        return try withUnsafePointer(to: &address) { pointer in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { try body($0, length) }
        }
    }
}

/// The advisory lock of the folder in which a file lies.
private struct FolderLock {
    private let descriptor: CInt

    /// Nil where the folder may not be read: then there is no lock to be had.
    init?(of path: String) {
        let folder = path.prefix(through: path.lastIndex(of: "/") ?? path.startIndex)
        descriptor = open(String(folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if descriptor < 0 { return nil }
    }

    func isTaken() -> Bool { flock(descriptor, LOCK_EX | LOCK_NB) == 0 }

    func close() { _ = Glibc.close(descriptor) }
}
