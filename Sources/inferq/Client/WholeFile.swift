import Foundation
import Glibc

/// A file that is whole or not there: `FILE.part` until it is complete and on disk, then `FILE`. `-` is standard output.
final class WholeFile {
    private let path: String
    private let overwrites: Bool
    private let mode: mode_t
    private var descriptor: CInt = -1

    private var part: String { path + ".part" }

    /// - Parameters:
    ///   - mode: of the file; its owner alone where it holds what clients have sent.
    ///   - isText: whether a terminal may show it.
    /// - Throws: ``ClientError`` if there is something that must not be overwritten.
    init(_ path: String, overwrites: Bool, mode: mode_t = 0o600, isText: Bool = false) throws(ClientError) {
        self.path = path
        self.overwrites = overwrites
        self.mode = mode
        if path == "-" {
            guard isText || !StandardOutput.isTerminal else {
                throw ClientError(.usage, "a backup is not text for a terminal; name a file, or write it to one with >")
            }
            return
        }
        try checkPlace()
        var status = stat()
        let folder = (path as NSString).deletingLastPathComponent
        guard stat(folder.isEmpty ? "." : folder, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
            throw ClientError(.usage, "there is no folder \(folder.quoted(limit: 400)); create it or name another file")
        }
    }

    deinit {
        guard descriptor >= 0 else { return }
        close(descriptor)
        // It was not finished.
        unlink(part)
    }

    private func checkPlace() throws(ClientError) {
        var status = stat()
        guard stat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw ClientError(
                .usage, "\(path.quoted(limit: 400)) is not a regular file; name another one, or - for a pipe")
        }
        guard overwrites else {
            throw ClientError(.usage, "\(path.quoted(limit: 400)) already exists; name another file or give --force")
        }
    }

    func write(_ bytes: [UInt8]) throws(ClientError) {
        if path == "-" { return try StandardOutput.write(bytes) }
        if descriptor < 0 {
            descriptor = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode)
            guard descriptor >= 0 else { throw failure("created", part) }
            fchmod(descriptor, mode)
        }
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno != EINTR { throw failure("written", part) }
            rest = rest.dropFirst(max(0, count))
        }
    }

    /// Returns when the file is on disk under its name.
    func finish() throws(ClientError) {
        guard path != "-" else { return }
        guard descriptor >= 0, fsync(descriptor) == 0 else { throw failure("synced", part) }
        try checkPlace()
        guard rename(part, path) == 0 else { throw failure("renamed", part) }
        close(descriptor)
        descriptor = -1
        let folder = (path as NSString).deletingLastPathComponent
        let entry = open(folder.isEmpty ? "." : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard entry >= 0 else { throw failure("synced", path) }
        defer { close(entry) }
        guard fsync(entry) == 0 else { throw failure("synced", path) }
    }

    private func failure(_ what: String, _ name: String) -> ClientError {
        let reason = String(cString: strerror(errno))
        return ClientError(
            .output, "\(name.quoted(limit: 400)) cannot be \(what) (\(reason)); make room or name another place")
    }
}
