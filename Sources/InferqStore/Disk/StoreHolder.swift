import Foundation
import InferqCore

#if canImport(Glibc)
    import Glibc
#endif

/// The process that has a store open, as the kernel's list of locks tells.
package enum StoreHolder: Sendable, Equatable {
    case noOne
    case process(CInt)
    /// The store's folder may not be looked into by this user.
    case unknown

    /// - Parameter path: of the store, as the settings have it.
    package static func find(_ path: String) -> StoreHolder {
        let lock = IdleStore.place(of: path) + ".lock"
        var status = stat()
        guard stat(lock, &status) == 0 else { return errno == ENOENT || errno == ENOTDIR ? .noOne : .unknown }
        // The list is given in pieces, so a read may miss a lock while others come and go: 1 to 5 in 100 where 4 processes
        // take and leave locks as fast as they can.
        for _ in 0..<8 {
            // A gateway cannot make it unseen: /proc/locks lists every lock, no matter who asks.
            guard let list = KernelFile.text("/proc/locks") else { return .unknown }
            let holders = holders(in: list, inode: UInt64(status.st_ino))
            // The list names the file system, whose number is another one to stat(2) on some: so the file is looked at.
            if let holder = holders.first(where: { holds($0, lock) ?? true }) { return .process(holder) }
        }
        return .noOne
    }

    /// `1: FLOCK  ADVISORY  WRITE 1234 08:01:131090 0 EOF`, proc_locks(5): those of whole files, held and not waited for.
    static func holders(in list: String, inode: UInt64) -> [pid_t] {
        list.split(separator: "\n").compactMap { line in
            let fields = line.split(separator: " ", omittingEmptySubsequences: true)
            guard fields.count >= 6, fields[1] == "FLOCK", let process = pid_t(fields[4]), process > 0,
                fields[5].split(separator: ":").last == "\(inode)"
            else { return nil }
            return process
        }
    }

    /// Whether a process has this very file open; nil if its files may not be looked at.
    private static func holds(_ process: pid_t, _ path: String) -> Bool? {
        let folder = "/proc/\(process)/fd"
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: folder) else { return nil }
        let file = FileIdentity(of: path)
        return names.contains { FileIdentity(of: "\(folder)/\($0)") == file }
    }
}
