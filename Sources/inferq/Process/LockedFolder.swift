import Foundation
import Glibc

/// A folder of files that commands make for the service; held against other runs of them as long as this lives.
final class LockedFolder {
    let path: String
    private let descriptor: CInt

    /// Makes the folder if it is missing.
    ///
    /// - Parameters:
    ///   - mode: of one that is made.
    ///   - group: of one that is made; nil: the process's own.
    ///   - advice: where else the files could be.
    /// - Throws: ``ClientError``.
    init(_ path: String, mode: mode_t, group: gid_t? = nil, advice: String) throws(ClientError) {
        self.path = path
        if mkdir(path, mode) == 0 {
            chmod(path, mode)
            if let group { chown(path, 0, group) }
        } else if errno == ENOENT {
            let parent = (path as NSString).deletingLastPathComponent
            throw ClientError(.cannotCreate, "there is no folder \(parent.visible()); create it, or \(advice)")
        } else if errno != EEXIST {
            throw .ofFile(path, "created", advice)
        }
        descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0, flock(descriptor, LOCK_EX) == 0 else { throw .ofFile(path, "opened", advice) }
    }

    deinit { close(descriptor) }

    /// Names that were made or changed in it are on disk when this returns.
    ///
    /// - Returns: whether they are.
    func sync() -> Bool { fsync(descriptor) == 0 }

    /// The group that the packaged service is in; nil where there is none, or this user may not give files away.
    static var serviceGroup: gid_t? {
        geteuid() == 0 ? getgrnam("inferq")?.pointee.gr_gid : nil
    }
}

extension ClientError {
    /// What `errno` says of a file that could not be made or changed.
    ///
    /// - Parameters:
    ///   - what: what cannot be done with it, as in `written`.
    ///   - advice: where else it could be, or who may do it.
    static func ofFile(_ name: String, _ what: String, _ advice: String) -> ClientError {
        let code = errno
        let isForbidden = [EACCES, EPERM, EROFS].contains(code)
        return ClientError(
            .cannotCreate,
            "\(name.visible()) cannot be \(what) (\(String(cString: strerror(code)))); "
                + (isForbidden ? "run this as root, or \(advice)" : "make room, or fix the disk"))
    }
}
