import GRDB
import GRDBSQLite
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// A checksum at the end of every page of a store: a page that has changed on its way to the disk and back is an error,
/// and never an answer.
///
/// SQLite itself does not look: a flipped bit in a body would be shown as the model server's output, and one in an
/// index would make a job vanish. So this layer is between SQLite and its files. It writes the seal with each page of
/// a database that has set the room for it aside (the "reserved space" of the file format), and checks it when the page
/// is read: SQLITE_IOERR_DATA, as SQLite's own cksumvfs extension has it. Pages in the WAL carry checksums of SQLite's
/// own. Databases without that room, and all other files, pass untouched.
///
/// What the disk cannot read is not damage: SQLite's layer gives SQLITE_IOERR_CORRUPTFS for it, which SQLite turns into
/// "the database is malformed". So reads of the database and of its log say SQLITE_IOERR_READ in its place.
///
/// Pointers: SQLite owns each `sqlite3_file` from its `xOpen` to its `xClose`, gives `szOsFile` bytes for it, and calls
/// it from one thread at a time. The layer's own part is behind the part of the layer below. The method tables and
/// the layer itself are made once and never freed.
package enum PageSeal {
    /// Bytes set aside at the end of a page: twice what a seal takes, for eight is how SQLite's own cksumvfs knows its files,
    /// and a `sqlite3` with that extension would call each of these pages damaged.
    static let room = 16
    /// Bytes of the seal: the last ones of a page. It counts all before them.
    private static let size = MemoryLayout<UInt64>.size
    /// What a page may have: "Database Header Format" (https://www.sqlite.org/fileformat2.html, section 1.3.2).
    static let pageSizes = 512...65_536

    /// The layer's own part of an open file.
    fileprivate struct Part {
        /// The methods of the layer below.
        var below: UnsafePointer<sqlite3_io_methods>
        /// The log of a database: never sealed.
        let isLog: Bool
        /// Bytes of a page; 0: the file is not sealed.
        var pageSize = 0
    }

    /// Puts the layer below every database that this process opens from now on.
    package static let install: Void = {
        SQLiteProcess.setUp
        guard let below = sqlite3_vfs_find(nil) else { return }
        let layer = UnsafeMutablePointer<sqlite3_vfs>.allocate(capacity: 1)
        layer.initialize(to: below.pointee)
        layer.pointee.pNext = nil
        layer.pointee.szOsFile = Int32(partOffset + MemoryLayout<Part>.size)
        layer.pointee.zName = UnsafePointer(strdup("inferq-seal"))
        layer.pointee.xOpen = { _, name, file, flags, outFlags in
            guard let vfs = UnsafeMutablePointer<sqlite3_vfs>(bitPattern: PageSeal.below),
                let code = vfs.pointee.xOpen?(vfs, name, file, flags, outFlags)
            else { return SQLITE_CANTOPEN }
            if code == SQLITE_OK, flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL) != 0, let file {
                PageSeal.watch(file, isLog: flags & SQLITE_OPEN_WAL != 0)
            }
            return code
        }
        sqlite3_vfs_register(layer, 1)
    }()

    /// Sets the room aside in a database that is still empty.
    ///
    /// - Throws: `DatabaseError`.
    static func reserve(_ db: Database) throws {
        var count = CInt(room)
        let code = sqlite3_file_control(db.sqliteConnection, "main", SQLITE_FCNTL_RESERVE_BYTES, &count)
        guard code == SQLITE_OK else { throw DatabaseError(resultCode: ResultCode(rawValue: code)) }
    }

    /// Changes bytes of the first page of a file that SQLite has not opened, and seals it again.
    ///
    /// - Returns: false when that could not be written.
    static func patch(_ descriptor: CInt, at position: Int, _ bytes: [UInt8]) -> Bool {
        withUnsafeTemporaryAllocation(byteCount: pageSizes.upperBound, alignment: 8) { page in
            guard let base = page.baseAddress, pread(descriptor, base, headerSize, 0) == headerSize else {
                return false
            }
            let count = pageSize(of: base)
            guard pageSizes.contains(count), pread(descriptor, base, count, 0) == count else { return false }
            for (index, byte) in bytes.enumerated() { page[position + index] = byte }
            if page[20] == UInt8(room) { write(sealOf: base, count, at: 0) }
            return pwrite(descriptor, base, count, 0) == count
        }
    }

    // MARK: The layer

    private static let below = UInt(bitPattern: sqlite3_vfs_find(nil))
    private static let partOffset: Int = {
        let size = UnsafePointer<sqlite3_vfs>(bitPattern: below).map { Int($0.pointee.szOsFile) } ?? 0
        return (size + 15) & ~15
    }()
    /// Ours, by the address of the table of the layer below.
    private static let tables = Mutex<[UInt: UInt]>([:])

    private static func part(_ file: UnsafeMutablePointer<sqlite3_file>) -> UnsafeMutablePointer<Part> {
        (UnsafeMutableRawPointer(file) + partOffset).assumingMemoryBound(to: Part.self)
    }

    private static func watch(_ file: UnsafeMutablePointer<sqlite3_file>, isLog: Bool) {
        guard let original = file.pointee.pMethods else { return }
        let address = UInt(bitPattern: original)
        let table = tables.withLock { tables in
            if let known = tables[address] { return known }
            let made = UInt(bitPattern: makeTable(original.pointee))
            tables[address] = made
            return made
        }
        part(file).initialize(to: Part(below: original, isLog: isLog))
        if !isLog { part(file).pointee.pageSize = sealedPageSize(file) }
        file.pointee.pMethods = UnsafePointer(bitPattern: table)
    }

    /// Bytes of a database's header.
    private static let headerSize = 100

    /// Bytes of a page, if the file's header says that there is room for seals; else 0.
    private static func sealedPageSize(_ file: UnsafeMutablePointer<sqlite3_file>) -> Int {
        withUnsafeTemporaryAllocation(byteCount: headerSize, alignment: 8) { header in
            guard let base = header.baseAddress,
                part(file).pointee.below.pointee.xRead?(file, base, Int32(headerSize), 0) == SQLITE_OK,
                header[20] == UInt8(room)
            else { return 0 }
            return pageSize(of: base)
        }
    }

    /// Bytes of a page, as the first one says: 1 stands for 65,536.
    private static func pageSize(of page: UnsafeRawPointer) -> Int {
        let number = Int(UInt16(bigEndian: page.loadUnaligned(fromByteOffset: 16, as: UInt16.self)))
        return number == 1 ? pageSizes.upperBound : number
    }

    private static func makeTable(_ original: sqlite3_io_methods) -> UnsafeMutablePointer<sqlite3_io_methods> {
        let table = UnsafeMutablePointer<sqlite3_io_methods>.allocate(capacity: 1)
        table.initialize(to: original)
        // Without memory mapping, which reads past this layer.
        table.pointee.iVersion = min(original.iVersion, 2)
        table.pointee.xRead = { file, bytes, count, offset in
            guard let file, let bytes else { return ResultCode.SQLITE_IOERR_READ.rawValue }
            let part = PageSeal.part(file)
            let code =
                part.pointee.below.pointee.xRead?(file, bytes, count, offset) ?? ResultCode.SQLITE_IOERR_READ.rawValue
            guard code != ResultCode.SQLITE_IOERR_CORRUPTFS.rawValue else {
                return ResultCode.SQLITE_IOERR_READ.rawValue
            }
            guard code == SQLITE_OK, part.pointee.isPage(count, offset) else { return code }
            return PageSeal.isIntact(bytes, Int(count), at: offset)
                ? SQLITE_OK : ResultCode.SQLITE_IOERR_DATA.rawValue
        }
        table.pointee.xWrite = { file, bytes, count, offset in
            guard let file, let bytes else { return ResultCode.SQLITE_IOERR_WRITE.rawValue }
            let part = PageSeal.part(file)
            if offset == 0, !part.pointee.isLog, PageSeal.pageSizes.contains(Int(count)) {
                let code = PageSeal.begin(file, firstPage: bytes)
                guard code == SQLITE_OK else { return code }
            }
            guard part.pointee.isPage(count, offset) else {
                return part.pointee.below.pointee.xWrite?(file, bytes, count, offset)
                    ?? ResultCode.SQLITE_IOERR_WRITE.rawValue
            }
            return PageSeal.writeSealed(bytes, Int(count), file, at: offset)
        }
        return table
    }

    /// The first page is about to be written: it says whether there is room for seals.
    private static func begin(_ file: UnsafeMutablePointer<sqlite3_file>, firstPage: UnsafeRawPointer) -> Int32 {
        let part = part(file)
        let hasRoom = firstPage.load(fromByteOffset: 20, as: UInt8.self) == UInt8(room)
        let before = part.pointee.pageSize
        part.pointee.pageSize = hasRoom ? pageSize(of: firstPage) : 0
        // A new database, whose first page comes after others have been written.
        return hasRoom && before != part.pointee.pageSize ? sealAll(file) : SQLITE_OK
    }

    private static func writeSealed(
        _ bytes: UnsafeRawPointer,
        _ count: Int,
        _ file: UnsafeMutablePointer<sqlite3_file>,
        at offset: Int64
    ) -> Int32 {
        withUnsafeTemporaryAllocation(byteCount: count, alignment: 8) { copy in
            guard let base = copy.baseAddress else { return SQLITE_NOMEM }
            base.copyMemory(from: bytes, byteCount: count)
            write(sealOf: base, count, at: offset)
            return part(file).pointee.below.pointee.xWrite?(file, base, Int32(count), offset)
                ?? ResultCode.SQLITE_IOERR_WRITE.rawValue
        }
    }

    private static func sealAll(_ file: UnsafeMutablePointer<sqlite3_file>) -> Int32 {
        let count = part(file).pointee.pageSize
        return withUnsafeTemporaryAllocation(byteCount: count, alignment: 8) { page in
            let methods = part(file).pointee.below.pointee
            var size: Int64 = 0
            guard let base = page.baseAddress, methods.xFileSize?(file, &size) == SQLITE_OK else {
                return ResultCode.SQLITE_IOERR_FSTAT.rawValue
            }
            for offset in stride(from: Int64(count), to: size, by: count) {
                guard methods.xRead?(file, base, Int32(count), offset) == SQLITE_OK else {
                    return ResultCode.SQLITE_IOERR_READ.rawValue
                }
                let code = writeSealed(base, count, file, at: offset)
                guard code == SQLITE_OK else { return code }
            }
            return SQLITE_OK
        }
    }

    // MARK: The seal

    private static func write(sealOf page: UnsafeMutableRawPointer, _ count: Int, at offset: Int64) {
        page.storeBytes(of: seal(page, count, at: offset), toByteOffset: count - size, as: UInt64.self)
    }

    private static func isIntact(_ page: UnsafeRawPointer, _ count: Int, at offset: Int64) -> Bool {
        let found = page.loadUnaligned(fromByteOffset: count - size, as: UInt64.self)
        if found == seal(page, count, at: offset) { return true }
        // A page that the file has grown by and that no one has written yet; SQLite knows it as empty.
        return found == 0
            && (0..<count / 8).allSatisfy { page.loadUnaligned(fromByteOffset: 8 * $0, as: UInt64.self) == 0 }
    }

    /// Four interleaved hashes of the page's words and its place. Each step is a bijection of the word and of the hash
    /// before it, so whatever is confined to one hash, every single flipped bit among it, changes the seal for certain.
    ///
    /// - Parameter count: bytes of the page, a power of two of 512 or more.
    static func seal(_ page: UnsafeRawPointer, _ count: Int, at offset: Int64) -> UInt64 {
        let prime: UInt64 = 0x9E37_79B9_7F4A_7C15
        var (a, b, c, d) = (UInt64(bitPattern: offset) | 1, prime, ~prime, UInt64(7))
        var position = 0
        // All words but the seal: rounds of four, and the three that stand before it.
        while position < count - 32 {
            a = (a ^ page.loadUnaligned(fromByteOffset: position, as: UInt64.self)) &* prime
            b = (b ^ page.loadUnaligned(fromByteOffset: position + 8, as: UInt64.self)) &* prime
            c = (c ^ page.loadUnaligned(fromByteOffset: position + 16, as: UInt64.self)) &* prime
            d = (d ^ page.loadUnaligned(fromByteOffset: position + 24, as: UInt64.self)) &* prime
            a ^= a >> 32
            b ^= b >> 32
            c ^= c >> 32
            d ^= d >> 32
            position += 32
        }
        a = (a ^ page.loadUnaligned(fromByteOffset: position, as: UInt64.self)) &* prime
        b = (b ^ page.loadUnaligned(fromByteOffset: position + 8, as: UInt64.self)) &* prime
        c = (c ^ page.loadUnaligned(fromByteOffset: position + 16, as: UInt64.self)) &* prime
        return (((a &* prime) ^ b) &* prime ^ c) &* prime ^ d
    }
}

extension PageSeal.Part {
    /// Whether a read or a write is one of a whole sealed page.
    fileprivate func isPage(_ count: Int32, _ offset: Int64) -> Bool {
        pageSize == count && pageSize > 0 && offset.isMultiple(of: Int64(pageSize))
    }
}
