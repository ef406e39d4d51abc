import Foundation
import GRDB
package import InferqCore
import Logging
import Synchronization

/// The jobs and their events in one SQLite file: the truth that everything else can be rebuilt from.
///
/// All changes go through ``change(_:id:rank:now:readsInput:remoteWorker:first:_:)`` or ``insert(_:key:at:leads:)``, so that
/// no change lacks its event. Reads see the last commit and hold no transaction beyond their call.
package final class JobStore: Sendable {

    /// One job's change of state as it was committed.
    ///
    /// A class, since a job is large and several hear of its change: no one copies it.
    package final class Change: Sendable {
        package let job: Job
        /// The state before, or nil for a new job.
        package let before: Job.State?
        package let events: [JobEvent]

        init(job: consuming Job, before: Job.State?, events: [JobEvent]) {
            self.job = job
            self.before = before
            self.events = events
        }
    }

    /// Hears of each change after its commit.
    private let observer = Observer()

    package let blobs: Blobs
    package let disk: DiskGuard
    package let recovery: Recovery
    /// Signs the tokens of model servers; made with the store and kept in it.
    package let signingKey: SigningKey
    /// Tells this store from all others; made with it and kept in it.
    package let instance: InstanceID

    let pool: DatabasePool
    let commits: GroupCommit
    let reads: GroupRead
    let names: StoredNames
    let numbers: EventNumbers
    package let ids: IDGenerator
    package let clock: StoreClock
    /// Held as long as the store is open.
    private let lock: StoreLock
    private let files: StoreFiles

    /// Opens the store, makes it if there is none, and puts back what a dead process left running.
    ///
    /// Blocks for as long as that takes; called once, before anything else runs.
    ///
    /// - Parameters:
    ///   - models: the configured models.
    ///   - bootID: the kernel's, to tell a crash of the program from one of the machine.
    ///   - remoteAttempts: what becomes of attempts that an earlier process left at workers on other hosts: with a
    ///     Redis they go on and come back through it.
    ///   - source: the machine's clocks.
    ///   - onFatal: called when the disk has failed or the store was taken away: the process must end.
    /// - Throws: ``StoreError``.
    package init(
        _ settings: StoreSettings,
        models: [String],
        bootID: String,
        remoteAttempts: RemoteAttemptPolicy = .interrupt(reason: "its worker cannot be reached"),
        source: StoreClock.Source = .system,
        onFatal: @escaping @Sendable (StoreError) -> Void
    ) throws {
        try StorePath.makeFolder(of: settings.path)
        var settings = settings
        settings.path = try StorePath.resolved(settings.path)
        lock = try StoreLock(path: settings.path) { patience in
            Logger(label: "inferq").notice(
                "another process holds the store: waiting for it to end",
                metadata: ["path": "\(settings.path)", "at_most": "\(DurationText.format(patience))"]
            )
        }
        StoreCopy.sweep(settings.path)
        disk = DiskGuard(settings)
        disk.makeRoomToStart()
        try WALMark.check(lock.note, settings.path)
        do {
            pool = try StoreOpening.open(settings)
            try lock.holdFile()
            let walByteCount = try RecoveredLog.copy(pool, disk)
            let upgrade = try StoreUpgrade.run(pool, path: settings.path)
            blobs = try Blobs(folder: StorePath.blobFolder(of: settings.path), onFatal: onFatal)
            // Names that this start or one before it has made: of the store, its log and the folder of blobs.
            try StorePath.syncFolder(of: settings.path)
            (names, numbers) = (StoredNames(), EventNumbers())
            let start = try StoreOpening.begin(
                pool, path: settings.path, models: models, names: names, numbers: numbers, blobs: blobs, disk: disk,
                bootID: bootID, remoteAttempts: remoteAttempts, source: source
            )
            var recovery = start.recovery
            recovery.upgrade = upgrade
            self.recovery = recovery
            signingKey = start.signingKey
            instance = start.instance
            clock = start.clock
            ids = IDGenerator(after: start.lastKey, leads: start.leads, tag: instance.tag)
            files = try StoreFiles(path: settings.path, lock: lock, marksLog: settings.synchronous == .full)
            commits = GroupCommit(
                pool: pool, checkpointBytes: disk.affordable(settings.checkpointBytes), walByteCount: walByteCount,
                files: files,
                onFull: disk.giveUpBallast, hasRoom: disk.hasRoom, onFatal: onFatal
            )
        } catch let error as DatabaseError {
            throw StoreOpening.explained(error, path: settings.path)
        }
        reads = GroupRead(pool: pool, lanes: max(1, settings.readers - 1))
        _ = files.noteLog()
        files.watch { [weak commits] in commits?.abandon($0) }
    }

    /// Has `observe` called with each change of a job, on the writer, after the commit and in commit order.
    ///
    /// Called once, before the first change: anyone who keeps counters of jobs misses none.
    package func onCommit(_ observe: @escaping @Sendable (Change) -> Void) {
        observer.begin(observe)
    }

    /// Refuses new work, waits for what was accepted, empties the WAL and closes.
    package func close() async {
        do {
            let note = clock.note
            try await commits.perform(.change) { db in try SQL.setMeta(db, "clock", Data(note.text.utf8)) }
        } catch {
            // The next start goes on from the newest entry: what time has passed since is not counted, no more.
        }
        commits.stop()
        await commits.checkpointNow()
        StoreCopy.sweep(pool.path)
        files.close()
        lock.note = ""
        do {
            try pool.close()
        } catch {
            // A reader was still busy; the process ends, and the file is complete without the close.
        }
    }

    /// Empties the WAL into the database when little is going on.
    package func checkpoint() async {
        await commits.checkpointNow()
    }

    // MARK: Changes

    /// What a submission met.
    package enum Insertion: Sendable {
        case inserted(Change)
        /// Its key belongs to this job already, and the request is the same.
        case known(UUIDv7)
    }

    /// Stores a new job and its first event, unless its client has used its key before.
    ///
    /// - Parameters:
    ///   - leads: what the generator of its id wants to be stored.
    /// - Throws: ``KeyReused``, or ``StoreError``.
    package func insert(
        _ job: Job,
        key: IdempotencyKey?,
        at now: Moment,
        leads: ArraySlice<IDLead> = []
    ) async throws -> Insertion {
        guard let model = names.models.id(of: job.model) else {
            throw StoreError.corrupt(path: job.model, reason: "the model was not announced")
        }
        let client = job.options.client.map(names.clients.entry)
        return try await commits.perform(
            .submit,
            then: { [ids, names, observer] insertion in
                guard case .inserted(let change) = insertion else { return }
                if !leads.isEmpty { ids.stored(leads) }
                if let client { names.clients.stored(client) }
                observer.tell(change)
            },
            { [numbers] db in
                for lead in leads { try SQL.insertLead(db, lead) }
                if let key {
                    if let known = try SQL.jobOf(db, key, client: client?.id) { return .known(known) }
                    try SQL.insertKey(db, key, client: client?.id, of: job.key, at: now)
                }
                if let client, !client.isStored { try SQL.insertClient(db, client) }
                var job = job
                let event = try SQL.insertEvent(db, job.key, job.accepted(), numbers, at: now)
                job.lastEvent = event.id
                try SQL.insertJob(db, job, model: model, client: client?.id)
                job.input.content = .unread
                return .inserted(Change(job: job, before: nil, events: [event]))
            }
        )
    }

    /// The job of a key that this client has used before with the same request; nil when it has not.
    ///
    /// - Parameter client: nil: one of before there were clients, who shares its keys with "anonymous".
    /// - Throws: ``KeyReused``, or ``StoreError``.
    package func jobOf(_ key: IdempotencyKey, client: String? = nil) async throws -> UUIDv7? {
        let id = client.flatMap(names.clients.id)
        // One that has had no job has used no key.
        guard client == nil || id != nil else { return nil }
        return try await reads.perform { db in try SQL.jobOf(db, key, client: id) }
    }

    /// Changes one job and appends the events that say so, in one transaction.
    ///
    /// - Parameters:
    ///   - id: the id that a client gave, which must be the job's own; nil: the key is enough.
    ///   - worker: on another host, which runs the attempt that the change begins; nil: none.
    ///   - first: called on the writer after the commit, in commit order, before the observer.
    ///   - transition: a pure function; it may be run more than once.
    /// - Returns: nil when there is no such job.
    /// - Throws: what `transition` throws, or ``StoreError``.
    package func change(
        _ key: JobKey,
        id: UUIDv7? = nil,
        rank: GroupCommit.Rank,
        now: Moment,
        readsInput: Bool = false,
        remoteWorker worker: String? = nil,
        first: (@Sendable (Change) -> Void)? = nil,
        _ transition: @escaping @Sendable (inout Job) throws -> [JobEvent.Draft]
    ) async throws -> Change? {
        try await commits.perform(
            rank,
            then: { [observer] (change: Change?) in
                guard let change else { return }
                first?(change)
                observer.tell(change)
            },
            { [names, numbers] db in
                let change = try Self.apply(
                    transition, to: key, id: id, readsInput: readsInput, db, names, numbers, now
                )
                if let worker, let change, case .running(let lease) = change.job.state {
                    try SQL.insertRemoteAttempt(db, change.job.key, lease, worker)
                }
                return change
            }
        )
    }

    /// As ``change(_:id:rank:now:readsInput:remoteWorker:first:_:)`` for several jobs in one step; those that are gone or
    /// refuse are left out.
    func changeAll(
        _ rank: GroupCommit.Rank,
        now: Moment,
        which: @escaping @Sendable (Database) throws -> [JobKey],
        _ transition: @escaping @Sendable (inout Job) throws -> [JobEvent.Draft]
    ) async throws -> [Change] {
        let tell = { @Sendable [observer] (changes: [Change]) in changes.forEach(observer.tell) }
        return try await commits.perform(rank, then: tell) { [names, numbers] db in
            try which(db).compactMap { key in
                do {
                    return try Self.apply(transition, to: key, readsInput: false, db, names, numbers, now)
                } catch is IllegalTransition {
                    return nil
                }
            }
        }
    }

    private static func apply(
        _ transition: (inout Job) throws -> [JobEvent.Draft],
        to key: JobKey,
        id: UUIDv7? = nil,
        readsInput: Bool,
        _ db: Database,
        _ names: StoredNames,
        _ numbers: EventNumbers,
        _ now: Moment
    ) throws -> Change? {
        let found =
            try readsInput ? SQL.selectWholeJob(db, key, names) : SQL.selectJob(db, key, names)
        guard var job = found, id == nil || job.id == id else { return nil }
        let before = job
        let drafts = try transition(&job)
        let events = try SQL.write(db, &job, from: before, drafts, numbers, at: now)
        return Change(job: job, before: before.state, events: events)
    }

    /// Announces models that a reload has added.
    package func add(models: [String]) async throws {
        let known = Set(names.models.all.map(\.name))
        let new = models.filter { !known.contains($0) }
        guard !new.isEmpty else { return }
        let rows = try await commits.perform(.change) { db in
            for name in new { try SQL.insertModel(db, name) }
            return try SQL.models(db).map { ($0.id, $0.name) }
        }
        for (id, name) in rows { names.models.add(name, id: id) }
    }

    /// Tells the observer of a change, on the writer.
    var tell: @Sendable (Change) -> Void {
        { [observer] in observer.tell($0) }
    }

    /// What the writer has done since the start.
    package var commitFigures: (commits: Int, operations: Int, largest: Int, checkpoints: Int) {
        let figures = commits.figures
        return (figures.commits, figures.operations, figures.largestCommit, figures.checkpoints)
    }
}

extension JobStore {
    /// The one that is told of changes; no one until it is set.
    private final class Observer: Sendable {
        /// A closure that is in a generic value by itself is wrapped once more at each access: here it is in a structure.
        private struct Call: Sendable {
            let observe: @Sendable (Change) -> Void
        }

        private let call = Mutex<Call?>(nil)

        func begin(_ observe: @escaping @Sendable (Change) -> Void) {
            call.withLock { call in
                precondition(call == nil, "the store has its observer already")
                call = Call(observe: observe)
            }
        }

        func tell(_ change: Change) {
            call.withLock { $0 }?.observe(change)
        }
    }
}
