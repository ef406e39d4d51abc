import Foundation
import GRDB
import GRDBSQLite
import InferqStore
import Synchronization

/// A disk that fails when told to: SQLite's own file layer, with a word before each write and sync below one folder.
///
/// So SQLite meets the error where a real disk would give it, at any page of any commit. The layer is SQLite's default
/// from the first use on; files of other folders pass through it untouched.
///
/// Pointers: SQLite owns each `sqlite3_file` from its `xOpen` to its `xClose`, calls it from one thread at a time, and
/// the original method tables are constants of the library. They are kept as numbers, which are `Sendable`.
package final class FaultyDisk: Sendable {
    package enum Fault: Sendable, CaseIterable {
        /// From the n-th write on there is no room, until ``repair()``.
        case full
        /// The n-th write fails, those after it would succeed.
        case write
        /// The n-th sync fails, those after it would succeed: what the kernel could not write, it has dropped.
        case sync
    }

    private struct State {
        var writes = 0
        var syncs = 0
        var fault: (kind: Fault, from: Int)?
        var hasFailed = false
    }

    private struct Opened: Sendable {
        let disk: FaultyDisk
        /// The address of the methods that do the work.
        let methods: UInt
    }

    private static let disks = Mutex<[String: FaultyDisk]>([:])
    private static let files = Mutex<[UInt: Opened]>([:])
    /// Ours, by the address of the original.
    private static let tables = Mutex<[UInt: UInt]>([:])

    private let state = Mutex(State())

    package init(_ folder: TemporaryFolder) {
        Self.register
        Self.disks.withLock { $0[folder.path] = self }
    }

    /// Writes and syncs so far.
    package var counts: (writes: Int, syncs: Int) { state.withLock { ($0.writes, $0.syncs) } }

    /// Whether what was told to fail has failed.
    package var hasFailed: Bool { state.withLock { $0.hasFailed } }

    /// Lets the `number`-th write or sync from now on fail; 1 is the next one.
    package func fail(_ kind: Fault, at number: Int) {
        state.withLock { state in
            state.fault = (kind, (kind == .sync ? state.syncs : state.writes) + number)
            state.hasFailed = false
        }
    }

    /// All is well again.
    package func repair() {
        state.withLock { $0.fault = nil }
    }

    // MARK: The file layer

    private func failureOfWrite() -> Int32? {
        state.withLock { state in
            state.writes += 1
            guard let (kind, from) = state.fault else { return nil }
            switch kind {
            case .full where state.writes >= from:
                state.hasFailed = true
                return ResultCode.SQLITE_FULL.rawValue
            case .write where state.writes == from:
                state.hasFailed = true
                return ResultCode.SQLITE_IOERR_WRITE.rawValue
            default: return nil
            }
        }
    }

    private func failureOfSync() -> Int32? {
        state.withLock { state in
            state.syncs += 1
            guard let (kind, from) = state.fault, kind == .sync, state.syncs == from else { return nil }
            state.hasFailed = true
            return ResultCode.SQLITE_IOERR_FSYNC.rawValue
        }
    }

    private static let base: UInt = {
        // Above the layer of the store, whichever test comes first.
        PageSeal.install
        return UInt(bitPattern: sqlite3_vfs_find(nil))
    }()

    private static let register: Void = {
        guard let original = UnsafeMutablePointer<sqlite3_vfs>(bitPattern: base) else { return }
        let layer = UnsafeMutablePointer<sqlite3_vfs>.allocate(capacity: 1)
        layer.initialize(to: original.pointee)
        layer.pointee.pNext = nil
        layer.pointee.zName = UnsafePointer(strdup("inferq-faulty"))
        layer.pointee.xOpen = { _, name, file, flags, outFlags in
            guard let vfs = UnsafeMutablePointer<sqlite3_vfs>(bitPattern: FaultyDisk.base),
                let code = vfs.pointee.xOpen?(vfs, name, file, flags, outFlags)
            else { return SQLITE_CANTOPEN }
            if code == SQLITE_OK, let name, let file { FaultyDisk.watch(file, named: String(cString: name)) }
            return code
        }
        sqlite3_vfs_register(layer, 1)
    }()

    private static func watch(_ file: UnsafeMutablePointer<sqlite3_file>, named name: String) {
        let folder = (name as NSString).deletingLastPathComponent
        guard let disk = disks.withLock({ $0[folder] }), let original = file.pointee.pMethods else { return }
        let address = UInt(bitPattern: original)
        let table = tables.withLock { tables in
            if let known = tables[address] { return known }
            let made = UInt(bitPattern: makeTable(original.pointee))
            tables[address] = made
            return made
        }
        files.withLock { $0[UInt(bitPattern: file)] = Opened(disk: disk, methods: address) }
        file.pointee.pMethods = UnsafePointer(bitPattern: table)
    }

    private static func makeTable(_ original: sqlite3_io_methods) -> UnsafeMutablePointer<sqlite3_io_methods> {
        let table = UnsafeMutablePointer<sqlite3_io_methods>.allocate(capacity: 1)
        table.initialize(to: original)
        table.pointee.xWrite = { file, bytes, count, offset in
            guard let (disk, methods) = FaultyDisk.opened(file) else { return SQLITE_IOERR }
            return disk.failureOfWrite() ?? methods.xWrite?(file, bytes, count, offset) ?? SQLITE_IOERR
        }
        table.pointee.xSync = { file, flags in
            guard let (disk, methods) = FaultyDisk.opened(file) else { return SQLITE_IOERR }
            return disk.failureOfSync() ?? methods.xSync?(file, flags) ?? SQLITE_IOERR
        }
        table.pointee.xClose = { file in
            guard let (_, methods) = FaultyDisk.opened(file) else { return SQLITE_IOERR }
            FaultyDisk.files.withLock { $0[UInt(bitPattern: file)] = nil }
            return methods.xClose?(file) ?? SQLITE_IOERR
        }
        return table
    }

    private static func opened(_ file: UnsafeMutablePointer<sqlite3_file>?) -> (FaultyDisk, sqlite3_io_methods)? {
        guard let opened = files.withLock({ $0[UInt(bitPattern: file)] }),
            let methods = UnsafePointer<sqlite3_io_methods>(bitPattern: opened.methods)
        else { return nil }
        return (opened.disk, methods.pointee)
    }
}
