import Crypto
import Foundation
import GRDB
import InferqCore

#if canImport(Glibc)
    import Glibc
#endif

/// How a store is found, made, checked and recovered before anything may use it.
enum StoreOpening {
    struct Start {
        let recovery: Recovery
        let signingKey: SigningKey
        let instance: InstanceID
        let lastKey: JobKey?
        let leads: [IDLead]
        let clock: StoreClock
    }

    /// Opens the file, after a look at its first bytes: GRDB would turn another program's database into a WAL one.
    static func open(_ settings: StoreSettings) throws -> DatabasePool {
        PageSeal.install
        try inspect(settings)
        try RecoveredLog.writeAnew(settings.path)
        let pool = try DatabasePool(path: settings.path, configuration: configuration(settings))
        // GRDB sets NORMAL on the writer of a pool after `prepareDatabase` has run, so FULL is set here and read back.
        let wanted = settings.synchronous == .full ? 2 : 1
        let found = try pool.writeWithoutTransaction { db in
            try db.execute(sql: "PRAGMA synchronous = \(wanted)")
            return try Int.fetchOne(db, sql: "PRAGMA synchronous")
        }
        guard found == wanted else {
            throw StoreError.unusable(
                path: settings.path, reason: "SQLite refuses synchronous = \(settings.synchronous)")
        }
        let version = try pool.read { try Int32.fetchOne($0, sql: "PRAGMA user_version") } ?? 0
        guard version <= Schema.version else {
            throw StoreError.newer(settings.path, schema: version)
        }
        return pool
    }

    private static func configuration(_ settings: StoreSettings) -> Configuration {
        var configuration = Configuration()
        configuration.label = "inferq.store"
        configuration.maximumReaderCount = settings.readers
        configuration.busyMode = .timeout(5)
        configuration.prepareDatabase { db in
            // Checkpoints are the writer's own doing, beside the acknowledging path.
            try db.execute(sql: "PRAGMA wal_autocheckpoint = 0")
            try db.execute(sql: "PRAGMA journal_size_limit = \(settings.walLimit)")
            try db.execute(sql: "PRAGMA cache_size = -4096")
            try db.execute(sql: "PRAGMA temp_store = MEMORY")
        }
        return configuration
    }

    /// Makes the store if there is none, and refuses a file that is not one.
    ///
    /// A new store appears under its name only when it is complete, so an empty or cut file is damage and not a
    /// half-made store: no new store is ever created in its place.
    private static func inspect(_ settings: StoreSettings) throws {
        let path = settings.path
        let manager = FileManager.default
        guard manager.fileExists(atPath: path) else {
            guard !manager.fileExists(atPath: path + "-wal") else {
                throw StoreError.corrupt(path: path, reason: "its -wal file exists, but the file itself does not")
            }
            return try create(settings)
        }
        try checkHeader(path)
        guard manager.isWritableFile(atPath: path) else {
            throw StoreError.unusable(path: path, reason: "it cannot be written")
        }
    }

    /// Looks at the first bytes of a file: is it a store, and one that this program knows?
    ///
    /// - Throws: ``StoreError``.
    static func checkHeader(_ path: String) throws {
        let header = try beginning(of: path)
        guard header.count == 100, header.starts(with: Array("SQLite format 3\0".utf8)) else {
            throw StoreError.corrupt(path: path, reason: "it does not begin like a database")
        }
        // "Application ID" and "user version" (https://www.sqlite.org/fileformat2.html, section 1.3).
        guard number(header, at: 68) == Schema.applicationID else { throw StoreError.foreign(path: path) }
        // Before GRDB opens it, which writes to the file; the log may hold a newer page, so `open` looks again.
        let version = number(header, at: 60)
        guard version <= Schema.version else { throw StoreError.newer(path, schema: version) }
        guard version > 0 else { throw StoreError.corrupt(path: path, reason: "its schema has no version") }
        guard header[20] == UInt8(PageSeal.room) else {
            throw StoreError.corrupt(path: path, reason: "its pages have no room for checksums")
        }
    }

    /// The first 100 bytes of the file, or all that it has.
    private static func beginning(of path: String) throws -> [UInt8] {
        // Without waiting for a writer, should somebody have put a pipe there.
        let descriptor = Glibc.open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else { throw unreadable(path, errno) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw StoreError.unusable(path: path, reason: "it is not a file")
        }
        return try [UInt8](unsafeUninitializedCapacity: 100) { buffer, count in
            let got = read(descriptor, buffer.baseAddress, 100)
            guard got >= 0 else { throw unreadable(path, errno) }
            count = got
        }
    }

    private static func unreadable(_ path: String, _ code: Int32) -> StoreError {
        guard code != EIO else { return .ofFile(code) }
        return .unusable(path: path, reason: "it cannot be read: \(String(cString: strerror(code)))")
    }

    private static func number(_ header: [UInt8], at offset: Int) -> Int32 {
        Int32(bitPattern: header[offset..<offset + 4].reduce(0) { $0 << 8 | UInt32($1) })
    }

    private static func create(_ settings: StoreSettings) throws {
        let path = settings.path
        let draft = path + ".new"
        for suffix in ["", "-journal"] where FileManager.default.fileExists(atPath: draft + suffix) {
            try FileManager.default.removeItem(atPath: draft + suffix)
        }
        var configuration = Configuration()
        configuration.prepareDatabase { db in try db.execute(sql: "PRAGMA synchronous = EXTRA") }
        do {
            let queue = try DatabaseQueue(path: draft, configuration: configuration)
            try queue.writeWithoutTransaction { db in
                // All take effect on an empty database only, and the last one writes its first page.
                try db.execute(sql: "PRAGMA page_size = \(settings.pageSize)")
                try PageSeal.reserve(db)
                try db.execute(sql: "PRAGMA auto_vacuum = INCREMENTAL")
                try db.execute(sql: "PRAGMA application_id = \(Schema.applicationID)")
                try db.inTransaction(.immediate) {
                    try Schema.create(db)
                    try db.execute(sql: "PRAGMA user_version = \(Schema.version)")
                    return .commit
                }
            }
            try queue.close()
            try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: draft)
            try FileManager.default.moveItem(atPath: draft, toPath: path)
        } catch let error as DatabaseError where error.resultCode == .SQLITE_FULL {
            throw StoreError.full
        } catch {
            throw StoreError.unusable(path: path, reason: "it cannot be created: \(reason(of: error))")
        }
    }

    private static func reason(of error: any Error) -> String {
        if let error = error as? DatabaseError { return error.message ?? "\(error.resultCode)" }
        return (error as NSError).localizedDescription
    }

    /// What the disk says, and not the permissions.
    private static let diskFailures: [ResultCode] = [
        .SQLITE_IOERR_READ, .SQLITE_IOERR_WRITE, .SQLITE_IOERR_FSYNC, .SQLITE_IOERR_DIR_FSYNC, .SQLITE_IOERR_TRUNCATE,
        .SQLITE_IOERR_FSTAT,
    ]

    static func explained(_ error: DatabaseError, path: String) -> StoreError {
        switch error.resultCode {
        case _ where StoreError.isFull(error): .full
        case _ where StoreError.isSealBroken(error):
            .corrupt(path: path, reason: "the checksum of a page is wrong")
        case _ where diskFailures.contains(error.extendedResultCode):
            .failed(reason: "\(error.extendedResultCode): \(error.message ?? "no message")")
        case .SQLITE_CORRUPT, .SQLITE_NOTADB, .SQLITE_SCHEMA, .SQLITE_ERROR:
            .corrupt(path: path, reason: error.message ?? "\(error.resultCode)")
        default: .unusable(path: path, reason: error.message ?? "\(error.resultCode)")
        }
    }
}

// MARK: The beginning of an epoch

extension StoreOpening {
    /// Starts a new epoch: knows the models, puts back what ran in an earlier one, sweeps orphaned blobs.
    static func begin(
        _ pool: DatabasePool,
        path: String,
        models: [String],
        names: StoredNames,
        numbers: EventNumbers,
        blobs: Blobs,
        disk: DiskGuard,
        bootID: String,
        remoteAttempts: RemoteAttemptPolicy,
        source: StoreClock.Source
    ) throws -> Start {
        func attempt() throws -> Start? {
            try pool.writeWithoutTransaction { db in
                try beginOnce(db, models, names, numbers, blobs, bootID, remoteAttempts, source)
            }
        }
        let start: Start?
        do {
            start = try attempt()
        } catch let error as DatabaseError where StoreError.isFull(error) && disk.giveUpBallast() {
            start = try attempt()
        }
        guard let start else { throw StoreError.unusable(path: path, reason: "the start did not commit") }
        return start
    }

    private static func beginOnce(
        _ db: Database,
        _ models: [String],
        _ names: StoredNames,
        _ numbers: EventNumbers,
        _ blobs: Blobs,
        _ bootID: String,
        _ policy: RemoteAttemptPolicy,
        _ source: StoreClock.Source
    ) throws -> Start? {
        var start: Start?
        try db.inTransaction(.immediate) {
            for model in models { try SQL.insertModel(db, model) }
            for model in try SQL.models(db) { names.models.add(model.name, id: model.id) }
            for client in try SQL.clients(db) { names.clients.add(client.name, id: client.id) }
            numbers.begin(after: try SQL.lastEventNumber(db))
            let epoch = try number(db, "epoch") + 1
            try SQL.setMeta(db, "epoch", Data(String(epoch).utf8))
            let isCrash = try SQL.meta(db, "boot_id").map { $0 == Data(bootID.utf8) } ?? false
            let (clock, finding) = try clock(db, source, isSameBoot: isCrash)
            try SQL.setMeta(db, "boot_id", Data(bootID.utf8))
            let secret = try SQL.meta(db, "secret") ?? SymmetricKey(size: .bits256).withUnsafeBytes { Data($0) }
            try SQL.setMeta(db, "secret", secret)
            let instance = try SQL.meta(db, "instance").flatMap { InstanceID(String(decoding: $0, as: UTF8.self)) }
            let ownID = instance ?? InstanceID.random()
            if instance == nil { try SQL.setMeta(db, "instance", Data(ownID.text.utf8)) }
            let remote = try SQL.remoteAttempts(db, names)
            let recovered = try recover(
                db, names, numbers, isCrash: isCrash, remote: remote, policy, now: clock.now
            )
            try SQL.deleteOldLeads(db)
            start = Start(
                recovery: Recovery(
                    epoch: epoch,
                    interrupted: recovered.interrupted,
                    poisoned: recovered.poisoned.count,
                    orphans: try removeOrphans(db, blobs),
                    sqliteVersion: try SQL.sqliteVersion(db),
                    poisonedJobs: recovered.poisoned,
                    remoteAttempts: policy == .keep ? remote : [],
                    clock: finding
                ),
                signingKey: SigningKey(Array(secret)),
                instance: ownID,
                lastKey: try SQL.lastKey(db),
                leads: try SQL.leads(db),
                clock: clock
            )
            return .commit
        }
        return start
    }

    /// The store's clock goes on from its last note, or from its newest entry.
    private static func clock(
        _ db: Database,
        _ source: StoreClock.Source,
        isSameBoot: Bool
    ) throws -> (StoreClock, StoreClock.Finding?) {
        let origin = StoreClock.origin(
            after: try SQL.meta(db, "clock").flatMap { StoreClock.Note(String(decoding: $0, as: UTF8.self)) },
            newest: try SQL.newestMoment(db),
            isSameBoot: isSameBoot,
            wall: source.wall(),
            sinceBoot: source.sinceBoot()
        )
        let clock = StoreClock(source, origin)
        try SQL.setMeta(db, "clock", Data(clock.note.text.utf8))
        return (clock, origin.finding)
    }

    private static func number(_ db: Database, _ name: String) throws -> Int64 {
        try SQL.meta(db, name).flatMap { Int64(String(decoding: $0, as: UTF8.self)) } ?? 0
    }

    private static func removeOrphans(_ db: Database, _ blobs: Blobs) throws -> Int {
        try blobs.removeOrphans { try SQL.isNamed(db, $0) }
    }

    /// Puts back every job that was running in the process before: it is gone, since this one holds the lock. What runs
    /// at workers on other hosts goes on, where there is a way for it to come back.
    private static func recover(
        _ db: Database,
        _ names: StoredNames,
        _ numbers: EventNumbers,
        isCrash: Bool,
        remote: [RemoteAttempt],
        _ policy: RemoteAttemptPolicy,
        now: Moment
    ) throws -> (interrupted: Int, poisoned: [Job]) {
        let away = Set(remote.map(\.job.key))
        if case .interrupt(let reason) = policy {
            for attempt in remote {
                var job = attempt.job
                let drafts = try job.interrupt(attempt.lease, reason: reason, now: now)
                _ = try SQL.write(db, &job, from: attempt.job, drafts, numbers, at: now)
            }
        }
        let running = try SQL.runningJobs(db).filter { !away.contains($0) }
            .compactMap { try SQL.selectJob(db, $0, names) }
        let suspects = running.filter(\.isSuspect)
        var poisoned: [Job] = []
        for found in running {
            var job = found
            let ofSameModel = running.count { $0.model == job.model }
            let drafts = try job.recover(
                isCrash: isCrash,
                wasAlone: suspects.count == 1 && ofSameModel == 1,
                now: now
            )
            _ = try SQL.write(db, &job, from: found, drafts, numbers, at: now)
            if job.status.isFinal { poisoned.append(job) }
        }
        let others = policy == .keep ? 0 : remote.count
        return (running.count - poisoned.count + others, poisoned)
    }
}
