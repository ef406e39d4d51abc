import Foundation

#if canImport(Glibc)
    import Glibc
#endif

/// Where the files of a store are, and their folder.
enum StorePath {
    /// The folder of the store's file.
    static func folder(of path: String) -> String {
        let folder = (path as NSString).deletingLastPathComponent
        return folder.isEmpty ? "." : folder
    }

    /// The folder of bodies that have files of their own.
    static func blobFolder(of path: String) -> String {
        folder(of: path) + "/blobs"
    }

    /// The store's own name, whatever links lead to it: its log, its lock and the files of bodies are beside that one.
    ///
    /// - Throws: ``StoreError/unusable(path:reason:)`` for a link that leads nowhere: a store is never made behind one,
    ///   since the disk that has it may only be missing.
    static func resolved(_ path: String) throws -> String {
        if let found = realpath(path, nil) {
            defer { free(found) }
            return String(cString: found)
        }
        var status = stat()
        if errno == ENOENT, lstat(path, &status) == 0 {
            throw StoreError.unusable(path: path, reason: "it is a symbolic link to a file that does not exist")
        }
        guard let found = realpath(folder(of: path), nil) else { return path }
        defer { free(found) }
        return String(cString: found) + "/" + (path as NSString).lastPathComponent
    }

    /// Makes the folder of the store, for its owner alone, if it does not exist, and its name durable.
    static func makeFolder(of path: String) throws {
        let folder = (path as NSString).deletingLastPathComponent
        guard !folder.isEmpty, !FileManager.default.fileExists(atPath: folder) else { return }
        try makeFolder(of: folder)
        guard mkdir(folder, 0o700) == 0 || errno == EEXIST else {
            throw StoreError.unusable(path: path, reason: "its folder cannot be created")
        }
        try syncFolder(of: folder)
    }

    /// Makes the names of the files beside `path` durable, its own among them.
    ///
    /// - Throws: ``StoreError``.
    static func syncFolder(of path: String) throws {
        let descriptor = Glibc.open(folder(of: path), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        // A folder above that may not be read: its names are somebody else's to keep.
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        // EINVAL: a file system that has nothing to sync for a folder.
        guard fsync(descriptor) == 0 || errno == EINVAL else { throw StoreError.ofFile(errno) }
    }
}
