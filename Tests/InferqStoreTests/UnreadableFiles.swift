import Foundation
import GRDBSQLite
import Synchronization

@testable import InferqCore
@testable import InferqStore

/// Files that the disk cannot read: in place of the kernel's calls that SQLite makes, so that its own layer of the file
/// system meets the error.
enum UnreadableFiles {
    private static let inodes = Mutex<Set<FileIdentityKey>>([])

    private struct FileIdentityKey: Hashable {
        let device: UInt64
        let inode: UInt64
    }

    private static func key(_ identity: FileIdentity?) -> FileIdentityKey? {
        identity.map { FileIdentityKey(device: $0.device, inode: $0.inode) }
    }

    private static func isUnreadable(_ descriptor: Int32) -> Bool {
        inodes.withLock { inodes in
            guard !inodes.isEmpty, let key = key(FileIdentity(descriptor)) else { return false }
            return inodes.contains(key)
        }
    }

    /// Runs `body` while reads of these files give EIO.
    static func during<Value>(_ paths: [String], _ body: () async throws -> Value) async rethrows -> Value {
        install
        let keys = paths.compactMap { key(FileIdentity(of: $0)) }
        inodes.withLock { $0.formUnion(keys) }
        defer { inodes.withLock { $0.subtract(keys) } }
        return try await body()
    }

    private typealias Read = @convention(c) (Int32, UnsafeMutableRawPointer?, Int) -> Int
    private typealias ReadAt = @convention(c) (Int32, UnsafeMutableRawPointer?, Int, Int) -> Int

    private static let install: Void = {
        let read: Read = { descriptor, bytes, count in
            guard !UnreadableFiles.isUnreadable(descriptor) else {
                errno = EIO
                return -1
            }
            return Glibc.read(descriptor, bytes, count)
        }
        let readAt: ReadAt = { descriptor, bytes, count, offset in
            guard !UnreadableFiles.isUnreadable(descriptor) else {
                errno = EIO
                return -1
            }
            return pread(descriptor, bytes, count, offset)
        }
        guard let files = sqlite3_vfs_find("unix"), let set = files.pointee.xSetSystemCall else { return }
        _ = set(files, "read", unsafeBitCast(read, to: sqlite3_syscall_ptr.self))
        for name in ["pread", "pread64"] where files.pointee.xGetSystemCall?(files, name) != nil {
            _ = set(files, name, unsafeBitCast(readAt, to: sqlite3_syscall_ptr.self))
        }
    }()
}
