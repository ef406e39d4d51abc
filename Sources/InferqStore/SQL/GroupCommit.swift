import GRDB
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Lets concurrent changes share one write transaction and one fsync, each with its own result.
///
/// Anyone who asks enqueues and waits; the first one finds the writer idle and wakes it, and what arrives while a
/// transaction is being synced goes into the next. So a lone change does not wait for company, and the cost of the
/// sync is shared exactly when there is something to share it with. The writer is GRDB's own serial queue: the asking
/// tasks only wait, and their cancellation never reaches the database, where it would take its neighbors with it.
///
/// An operation must be a pure function of the database: when a neighbor fails halfway, the transaction is rolled
/// back and the operations run again, one by one.
package final class GroupCommit: Sendable {
    /// Which go first when they must be run one by one because space is short.
    package enum Rank: Int {
        /// Ends something that runs: must get through.
        case outcome
        case change
        /// A piece of an answer: it waits for room, and is not given what others end with.
        case stream
        case submit

        /// Whether it may take the room that is kept for what was accepted before to end.
        fileprivate var mayUseLastRoom: Bool { self == .outcome || self == .change }
    }

    /// What the writer has done since the start, for metrics and for the checkpoint's schedule.
    struct Figures: Sendable, Equatable {
        var commits = 0
        var operations = 0
        var largestCommit = 0
        var checkpoints = 0
    }

    private struct Operation: Sendable {
        let rank: Rank
        /// Runs the operation; what it returns is called after the commit.
        let run: @Sendable (Database) throws -> @Sendable () -> Void
        let fail: @Sendable (any Error) -> Void
    }

    private struct State {
        var waiting: [Operation] = []
        var isDraining = false
        var stopped: StoreError?
        /// Nothing more is written, and above all nothing is synced: see ``StoreError/fatal(_:)``.
        var hasFailed = false
        var figures = Figures()
    }

    private let pool: DatabasePool
    private let state = Mutex(State())
    /// Called once, when nothing can be promised from then on.
    private let onFatal: @Sendable (StoreError) -> Void
    private let checkpointBytes: Int
    let metrics = CommitMetrics()
    private struct Uncopied {
        /// Bytes of the log that the database does not have yet.
        var bytes: Int
        /// From how many on the next try to copy them is made.
        var due: Int
    }

    /// Writer only.
    private let uncopied: Mutex<Uncopied>
    private let log = LogLength()
    /// The files that are written to; nil where no one can take them away.
    private let files: StoreFiles?
    /// Whether they have changed since their log was noted. Writer only.
    private let mustNote = Mutex(true)

    /// At most so many operations share a transaction, so that the first of them does not wait long for the last.
    private static let largestBatch = 512
    /// Bytes of a log that are worth a checkpoint on a full disk: some ten outcomes.
    private static let worthReuse = 1 << 20

    /// Makes room on a full disk for what must get through, and says whether it did; called on the writer.
    private let onFull: @Sendable () -> Bool
    /// Whether the disk has so many bytes of room; called on the writer.
    private let hasRoom: @Sendable (Int) -> Bool

    /// - Parameters:
    ///   - checkpointBytes: bytes of WAL after which a checkpoint runs, between two transactions.
    ///   - walByteCount: bytes of WAL that are in use already.
    init(
        pool: DatabasePool,
        checkpointBytes: Int,
        walByteCount: Int = 0,
        files: StoreFiles? = nil,
        onFull: @escaping @Sendable () -> Bool = { false },
        hasRoom: @escaping @Sendable (Int) -> Bool = { _ in true },
        onFatal: @escaping @Sendable (StoreError) -> Void
    ) {
        self.pool = pool
        self.onFull = onFull
        self.hasRoom = hasRoom
        self.checkpointBytes = checkpointBytes
        uncopied = Mutex(Uncopied(bytes: walByteCount, due: checkpointBytes))
        self.files = files
        self.onFatal = onFatal
    }

    var figures: Figures { state.withLock { $0.figures } }

    /// Operations that wait for the transaction after the one that is being written.
    var waitingCount: Int { state.withLock { $0.waiting.count } }

    /// Runs `operation` in the next transaction and returns once that is on disk.
    ///
    /// - Parameters:
    ///   - then: called on the writer right after the commit, in commit order, before the next transaction begins.
    /// - Throws: what `operation` throws, whatever becomes of its neighbors, or a ``StoreError``.
    func perform<Value: Sendable>(
        _ rank: Rank,
        then: @escaping @Sendable (Value) -> Void = { _ in },
        _ operation: @escaping @Sendable (Database) throws -> Value
    ) async throws -> Value {
        // proof: an operation is either run and then finished, or fails, and leaves the list with that.
        try await withUnsafeThrowingContinuation { continuation in
            enqueue(
                Operation(
                    rank: rank,
                    run: { db in
                        let value = try operation(db)
                        return {
                            then(value)
                            continuation.resume(returning: value)
                        }
                    },
                    fail: { continuation.resume(throwing: $0) }
                )
            )
        }
    }

    /// Refuses everything from now on with `error`; what waits already is still done.
    func stop(_ error: StoreError = .closed) {
        state.withLock { $0.stopped = $0.stopped ?? error }
    }

    private func enqueue(_ operation: Operation) {
        let (refusal, mustWake) = state.withLock { state -> (StoreError?, Bool) in
            if let stopped = state.stopped { return (stopped, false) }
            state.waiting.append(operation)
            defer { state.isDraining = true }
            return (nil, !state.isDraining)
        }
        if let refusal { return operation.fail(refusal) }
        if mustWake { pool.asyncWriteWithoutTransaction { db in self.drain(db) } }
    }

    private func drain(_ db: Database) {
        log.watch(db)
        while true {
            let batch = state.withLock { state -> [Operation] in
                let batch = Array(state.waiting.prefix(Self.largestBatch))
                state.waiting.removeFirst(batch.count)
                if batch.isEmpty { state.isDraining = false }
                return batch
            }
            guard !batch.isEmpty else { return }
            commit(batch, db)
            checkpointWhenDue(db)
            noteLogWhenDue()
        }
    }

    // MARK: One batch

    private func commit(_ batch: [Operation], _ db: Database) {
        metrics.begin()
        do {
            guard let results = try together(batch, db) else { return oneByOne(batch, db) }
            if let trouble = files?.trouble { return abandon(batch, trouble) }
            finish(batch, results)
        } catch {
            rollBack(db)
            if let fatal = StoreError.fatal(error) { return abandon(batch, fatal) }
            oneByOne(batch, db)
        }
    }

    private typealias Results = [Result<@Sendable () -> Void, any Error>]

    /// Runs all in one transaction. Nil, with nothing changed, when one failed after it had begun to write.
    private func together(_ batch: [Operation], _ db: Database) throws -> Results? {
        try db.beginWriting()
        var results: Results = []
        results.reserveCapacity(batch.count)
        for operation in batch {
            let before = db.totalChangesCount
            do {
                results.append(.success(try operation.run(db)))
            } catch {
                if StoreError.fatal(error) != nil { throw error }
                // SQLITE_FULL and others roll the whole transaction back by themselves.
                guard db.isInsideTransaction, db.totalChangesCount == before else {
                    rollBack(db)
                    return nil
                }
                results.append(.failure(error))
            }
        }
        try db.endTransaction()
        return results
    }

    private func oneByOne(_ batch: [Operation], _ db: Database) {
        var rest = batch.sorted { $0.rank.rawValue < $1.rank.rawValue }[...]
        var hasMadeRoom = false
        while let operation = rest.popFirst() {
            // The room that was made is for what was accepted before.
            guard !hasMadeRoom || operation.rank.mayUseLastRoom else {
                operation.fail(StoreError.full)
                continue
            }
            do {
                try db.beginWriting()
                let done = try operation.run(db)
                try db.endTransaction()
                if let trouble = files?.trouble { return abandon([operation] + rest, trouble) }
                finish([operation], [.success(done)])
            } catch {
                rollBack(db)
                if let fatal = StoreError.fatal(error) { return abandon([operation] + rest, fatal) }
                let isFull = StoreError.wrapped(error) as? StoreError == .full
                if isFull, operation.rank.mayUseLastRoom, onFull() || reuseLog(db) {
                    hasMadeRoom = true
                    rest.insert(operation, at: rest.startIndex)
                    continue
                }
                operation.fail(StoreError.wrapped(error))
            }
        }
    }

    private func finish(_ batch: [Operation], _ results: Results) {
        metrics.committed(batch.count)
        state.withLock { state in
            state.figures.commits += 1
            state.figures.operations += batch.count
            state.figures.largestCommit = max(state.figures.largestCommit, batch.count)
        }
        for (operation, result) in zip(batch, results) {
            switch result {
            case .success(let done): done()
            case .failure(let error): operation.fail(StoreError.wrapped(error))
            }
        }
        let growth = log.takeGrowth()
        uncopied.withLock { $0.bytes += growth }
    }

    private func rollBack(_ db: Database) {
        guard db.isInsideTransaction else { return }
        do {
            try db.rollback()
        } catch {
            // SQLite has rolled back by itself, or the next BEGIN will say what is wrong.
        }
    }

    /// Ends all promises because of something that was found beside the writer.
    func abandon(_ error: StoreError) {
        abandon([], error)
    }

    private func abandon(_ batch: [Operation], _ error: StoreError) {
        let (rest, isFirst) = state.withLock { state -> ([Operation], Bool) in
            state.stopped = error
            defer {
                state.waiting = []
                state.hasFailed = true
            }
            return (state.waiting, !state.hasFailed)
        }
        for operation in batch + rest { operation.fail(error) }
        if isFirst { onFatal(error) }
    }

    // MARK: Checkpoints

    /// Runs beside the acknowledging path: after the waiting tasks were told, before the next transaction begins.
    /// On the writer, since this SQLite must not write and checkpoint through two connections at once.
    private func checkpointWhenDue(_ db: Database) {
        guard uncopied.withLock({ $0.bytes >= $0.due }) else { return }
        guard hasRoom(growth(db)) else { return tryLater() }
        checkpoint(db, .passive)
    }

    /// Something stands in the way of a checkpoint: it is not tried with every commit.
    private func tryLater() {
        uncopied.withLock { $0.due = $0.bytes + checkpointBytes / 2 }
    }

    private func checkpoint(_ db: Database, _ mode: Database.CheckpointMode) {
        guard !state.withLock({ $0.hasFailed }) else { return }
        do {
            let (length, copied) = try db.checkpoint(mode)
            // A reader of an older state keeps what came after it from being copied.
            let left = log.byteCount(of: max(0, length - copied))
            uncopied.withLock { $0 = Uncopied(bytes: left, due: left + checkpointBytes) }
            state.withLock { $0.figures.checkpoints += 1 }
            mustNote.withLock { $0 = true }
            noteLogWhenDue()
        } catch {
            // A full disk or a reader stands in the way.
            tryLater()
            if let fatal = StoreError.fatal(error) { abandon([], fatal) }
        }
    }

    /// Lets the log begin again on a full disk, which it would otherwise go on to grow on.
    ///
    /// - Returns: whether there was enough in it to try again.
    private func reuseLog(_ db: Database) -> Bool {
        // One that stops half way would only take the room that is left.
        let worth = min(Self.worthReuse, checkpointBytes / 2)
        guard uncopied.withLock({ $0.bytes >= worth }), hasRoom(growth(db)) else { return false }
        checkpoint(db, .passive)
        return uncopied.withLock { $0.bytes == 0 }
    }

    /// Bytes that the file becomes longer by when all of the log is copied into it.
    private func growth(_ db: Database) -> Int {
        var status = stat()
        guard stat(pool.path, &status) == 0 else { return 0 }
        do {
            let pages = try Int.fetchOne(db, sql: "PRAGMA page_count") ?? 0
            return max(0, pages * log.pageSize - Int(status.st_size))
        } catch {
            // What is wrong with the store, its checkpoint says.
            return 0
        }
    }

    /// The store changes at a checkpoint alone, so this is when its note changes; after one that has emptied the log, with
    /// the next commit. An idle store writes nothing.
    private func noteLogWhenDue() {
        guard let files, mustNote.withLock({ $0 }), !state.withLock({ $0.hasFailed }) else { return }
        let isNoted = files.noteLog()
        mustNote.withLock { $0 = !isNoted }
    }

    /// Empties the WAL when little is going on. Returns when that is done.
    func checkpointNow(_ mode: Database.CheckpointMode = .truncate) async {
        await withCheckedContinuation { continuation in
            pool.asyncWriteWithoutTransaction { db in
                self.checkpoint(db, mode)
                continuation.resume()
            }
        }
    }
}
