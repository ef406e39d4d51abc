import Foundation
import Glibc

/// Writes files of keys: whole or not at all, for root and the group of the gateway alone.
struct KeyFile {
    let path: String

    private static let mode: mode_t = 0o640

    /// The folder of such files.
    ///
    /// - Throws: ``ClientError``.
    static func folder(_ path: String) throws(ClientError) -> LockedFolder {
        try LockedFolder(path, mode: 0o750, group: LockedFolder.serviceGroup, advice: "correct access.keys")
    }

    /// Returns when the text is on disk under the file's name. A file that was there keeps its owner and its mode.
    ///
    /// - Throws: ``ClientError``.
    func write(_ text: String, in folder: LockedFolder) throws(ClientError) {
        // A link stays one: what it leads to is replaced, beside itself.
        let target =
            (try? FileManager.default.destinationOfSymbolicLink(atPath: path)) == nil
            ? path : URL(fileURLWithPath: path).resolvingSymlinksInPath().path
        // Hidden, and not called *.toml: no one reads it.
        let parent = (target as NSString).deletingLastPathComponent
        let part = "\(parent)/.\((target as NSString).lastPathComponent).\(getpid())"
        // What a run that was killed has left; no one else is in the folder.
        unlink(part)
        let descriptor = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw Self.failure("made", part) }
        defer { close(descriptor) }
        do throws(ClientError) {
            var before = stat()
            if stat(target, &before) == 0 {
                if fchown(descriptor, before.st_uid, before.st_gid) != 0, geteuid() == 0 {
                    throw Self.failure("kept", target)
                }
                fchmod(descriptor, before.st_mode & 0o777)
            } else {
                if let group = LockedFolder.serviceGroup { fchown(descriptor, 0, group) }
                fchmod(descriptor, Self.mode)
            }
            var rest = Array(text.utf8)[...]
            while !rest.isEmpty {
                let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
                if count < 0, errno != EINTR { throw Self.failure("written", part) }
                rest = rest.dropFirst(max(0, count))
            }
            guard fsync(descriptor) == 0 else { throw Self.failure("synced", part) }
            guard rename(part, target) == 0 else { throw Self.failure("renamed", part) }
        } catch {
            unlink(part)
            throw error
        }
        guard folder.sync() else { throw Self.failure("synced", parent) }
    }

    private static func failure(_ what: String, _ name: String) -> ClientError {
        .ofFile(name, what, "as the user who owns the files")
    }
}
