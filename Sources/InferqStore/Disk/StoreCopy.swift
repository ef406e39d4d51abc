import Foundation
import GRDB
import InferqCore
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// A consistent copy of the database in a file of its own, with the blobs that it names held where they are.
///
/// Both go when it does: the file is removed, and removals of blobs that were put off happen. Holding them off costs
/// nothing while no job is deleted; a hard link for each blob would cost a call for each, and a sweep of its own.
package final class StoreCopy: Sendable {
    package enum Refusal: Error, Sendable, Equatable {
        /// Another copy has not ended.
        case busy
        /// In bytes.
        case noRoom(needed: Int, free: Int)
    }

    /// What it consists of.
    package struct Figures: Sendable, Equatable {
        package var databaseBytes = 0
        /// Blobs that are there.
        package var blobs = 0
        package var blobBytes = 0
        /// Blobs that a row names and that are missing.
        package var missing = 0
        /// Blobs whose length is not what their row says.
        package var torn = 0
        /// Of the archive as a whole.
        package var archiveBytes = 0
    }

    package let figures: Figures
    let blobs: Blobs
    /// When the copy was complete, in seconds since 1970.
    let moment: Int
    let database: DatabaseQueue
    private let file: TemporaryFile

    /// Pages that are copied at a time: a quarter of a MiB, so that a commit waits for a fraction of a millisecond.
    static let step: Int32 = 128

    static func path(of store: String) -> String { store + ".copy" }

    /// Removes what a crash or a stop has left of a copy.
    static func sweep(_ store: String) {
        unlink(path(of: store))
    }

    private init(_ file: TemporaryFile, _ blobs: Blobs) async throws {
        self.file = file
        self.blobs = blobs
        moment = Int(Timestamp.now.milliseconds / 1000)
        let database = try await FileReader.blocking { try Self.settle(file.path) }
        file.keep(database)
        self.database = database
        figures = try await Self.figures(file.path, database, blobs)
    }

    /// Copies what `source` gives into a file beside the store.
    ///
    /// - Parameters:
    ///   - reserve: bytes of the disk that must stay free.
    ///   - pages: fills the file with this path.
    static func take(
        _ store: String,
        _ blobs: Blobs,
        byteCount: Int,
        leaving reserve: Int,
        pages: (String) async throws -> Void
    ) async throws -> StoreCopy {
        guard let hold = blobs.hold() else { throw Refusal.busy }
        let file = TemporaryFile(path: path(of: store), hold)
        let free = FreeSpace.bytes(at: store)
        guard free - byteCount >= reserve else { throw Refusal.noRoom(needed: byteCount + reserve, free: free) }
        try await pages(file.path)
        return try await StoreCopy(file, blobs)
    }

    /// Makes the copy a database that needs no other file beside it, and opens it.
    private static func settle(_ path: String) throws -> DatabaseQueue {
        // "File format version numbers" (https://www.sqlite.org/fileformat2.html, section 1.3.3): 1 in place of the 2
        // of a write-ahead log, which a store turns on again when it opens its file.
        let descriptor = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { throw StoreError.failed(reason: String(cString: strerror(errno))) }
        let isWritten = PageSeal.patch(descriptor, at: 18, [1, 1])
        close(descriptor)
        guard isWritten else { throw StoreError.full }
        var configuration = Configuration()
        configuration.label = "inferq.copy"
        configuration.prepareDatabase { db in
            try db.execute(sql: "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -4096")
        }
        let database = try DatabaseQueue(path: path, configuration: configuration)
        // A copy that is restored within the same boot of the host must not count as a crash of what ran in it.
        try database.writeWithoutTransaction { try SQL.removeMeta($0, "boot_id") }
        return database
    }

    static func figures(_ path: String, _ database: DatabaseQueue, _ blobs: Blobs) async throws -> Figures {
        try await FileReader.blocking {
            var figures = Figures()
            figures.databaseBytes = try FileReader(path: path)?.byteCount ?? 0
            var archive = TarHeader(name: "inferq.db", byteCount: figures.databaseBytes, modified: 0).entryByteCount
            archive += TarHeader.block + TarHeader.end.count
            var last = ""
            while true {
                let page = try database.read { [last] db in try SQL.blobs(db, after: last, limit: 1000) }
                guard let end = page.last else { break }
                last = end.name.text
                for blob in page {
                    var status = stat()
                    guard stat(blobs.path(of: blob.name), &status) == 0 else {
                        figures.missing += 1
                        continue
                    }
                    let byteCount = Int(status.st_size)
                    if byteCount != blob.byteCount { figures.torn += 1 }
                    figures.blobs += 1
                    figures.blobBytes += byteCount
                    archive += TarHeader(name: "", byteCount: byteCount, modified: 0).entryByteCount
                }
            }
            figures.archiveBytes = archive
            return figures
        }
    }

    /// Where the copy lies.
    var path: String { file.path }
}

/// A file that is removed with the last reference to it, and whose space is freed elsewhere, since that takes a while.
private final class TemporaryFile: Sendable {
    let path: String
    private let database = Mutex<DatabaseQueue?>(nil)
    /// Let go after the name is free again: the next copy has the same one.
    private let hold: Blobs.Hold

    init(path: String, _ hold: Blobs.Hold) {
        self.path = path
        self.hold = hold
    }

    func keep(_ database: DatabaseQueue) {
        self.database.withLock { $0 = database }
    }

    deinit {
        // While it is open, only its name goes here.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        unlink(path)
        FileReader.later { [database = database.withLock { $0 }] in
            withExtendedLifetime(database) {}
            if descriptor >= 0 { close(descriptor) }
        }
    }
}

/// What is left of a disk.
package enum FreeSpace {
    /// Bytes that may still be written on the disk of `path`; 0 when that cannot be told.
    package static func bytes(at path: String) -> Int {
        var status = statvfs()
        guard statvfs(StorePath.folder(of: path), &status) == 0 else { return 0 }
        return Int(status.f_bavail) * Int(status.f_frsize)
    }
}
