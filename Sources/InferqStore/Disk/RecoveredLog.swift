import GRDB

#if canImport(Glibc)
    import Glibc
#endif

/// Makes durable what a start is going to build on: the log that the process before has left.
///
/// After a sync that failed, the kernel counts what it could not write as written. The next process reads it as good,
/// and its own syncs never write it: whatever it acknowledges is behind a hole, at which the recovery after a power
/// cut ends. So the start writes the log again before it reads it, then copies all of it into the database, and the next
/// commit starts the log over.
enum RecoveredLog {
    /// "WAL Header" and "WAL Frame" (https://www.sqlite.org/fileformat2.html, section 4.1).
    private static let headerSize = 32
    static let frameHeaderSize = 24
    /// Bytes that are read and written in one go, about.
    private static let chunk = 256 << 10

    /// Writes the frames of a log over themselves and syncs them: whatever a power cut leaves, before or after, is the
    /// same bytes. Before SQLite opens the store.
    ///
    /// - Throws: ``StoreError``, ``StoreError/full`` on a file system that needs room even for this.
    static func writeAnew(_ path: String) throws {
        let descriptor = open(path + "-wal", O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else {
            // What may not be opened is refused by SQLite, which says more of it.
            return
        }
        defer { close(descriptor) }
        var header = [UInt8](repeating: 0, count: headerSize)
        guard try read(descriptor, &header, at: 0) == headerSize else { return }
        let frameSize = frameHeaderSize + header[8..<12].reduce(0) { $0 << 8 | Int($1) }
        // Whatever else a damaged header says, SQLite takes no log for it.
        guard PageSeal.pageSizes.contains(frameSize - frameHeaderSize) else { return }
        let framesAtOnce = max(1, chunk / frameSize)
        var position = headerSize
        var frames = [UInt8](repeating: 0, count: framesAtOnce * frameSize)
        try write(descriptor, header[...], at: 0)
        while true {
            let whole = try read(descriptor, &frames, at: position) / frameSize
            // Frames of an earlier log carry its numbers, and no one reads them.
            let count = (0..<whole).prefix { index in
                frames[index * frameSize + 8..<index * frameSize + 16].elementsEqual(header[16..<24])
            }.count
            try write(descriptor, frames[..<(count * frameSize)], at: position)
            guard count == framesAtOnce else { break }
            position += count * frameSize
        }
        guard fdatasync(descriptor) == 0 else { throw failure() }
    }

    /// Copies the log into the database.
    ///
    /// - Returns: bytes of the log that is still in use: 0, unless somebody else reads it or there is no room.
    /// - Throws: `DatabaseError`, but for a full disk: then the log stays as it is, which is durable by now.
    static func copy(_ pool: DatabasePool, _ disk: DiskGuard) throws -> Int {
        try pool.writeWithoutTransaction { db in
            let frameSize = frameHeaderSize + (try Int.fetchOne(db, sql: "PRAGMA page_size") ?? 0)
            func checkpoint() throws -> Int {
                guard let row = try Row.fetchOne(db, sql: "PRAGMA wal_checkpoint(PASSIVE)") else { return 0 }
                let (frames, copied): (Int, Int) = (row["log"], row["checkpointed"])
                return copied < frames ? frames * frameSize : 0
            }
            do {
                return try checkpoint()
            } catch let error as DatabaseError where StoreError.isFull(error) {
                do {
                    if disk.giveUpBallast() { return try checkpoint() }
                } catch let error as DatabaseError where StoreError.isFull(error) {}
                var status = stat()
                return stat(pool.path + "-wal", &status) == 0 ? Int(status.st_size) : 0
            }
        }
    }

    private static func read(_ descriptor: Int32, _ bytes: inout [UInt8], at position: Int) throws -> Int {
        var filled = 0
        let size = bytes.count
        while filled < size {
            let got = bytes.withUnsafeMutableBytes { buffer in
                buffer.baseAddress.map { pread(descriptor, $0 + filled, size - filled, position + filled) } ?? 0
            }
            if got == 0 { break }
            if got < 0, errno != EINTR { throw failure() }
            filled += max(got, 0)
        }
        return filled
    }

    private static func write(_ descriptor: Int32, _ bytes: ArraySlice<UInt8>, at position: Int) throws {
        var (rest, position) = (bytes, position)
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, position) }
            if count < 0, errno != EINTR { throw failure() }
            rest = rest.dropFirst(max(count, 0))
            position += max(count, 0)
        }
    }

    private static func failure() -> StoreError { .ofFile(errno) }
}
