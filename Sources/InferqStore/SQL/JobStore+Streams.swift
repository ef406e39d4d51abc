import GRDB
package import InferqCore

/// Answers that come piece by piece: their pieces are appended here, and read here by anyone who follows them.
extension JobStore {
    /// What became of a piece.
    package enum Appended: Sendable {
        /// It is on disk, and this is its id.
        case stored(Int64)
        /// It was there already: a worker elsewhere sends one again when it has not heard of it.
        case known
        /// Bytes before it are missing: the answer has so many.
        case gap(end: Int)
        /// The attempt has ended.
        case attemptOver
    }

    /// Stores the next piece of the answer that a claimed attempt is getting. When this returns, it is on disk.
    ///
    /// - Parameter then: called on the writer right after the commit, in commit order, with the id of the piece; not for what
    ///   was not stored.
    /// - Throws: ``StoreError``.
    package func append(
        _ piece: Piece, to job: JobKey, _ lease: Job.Lease, then: @escaping @Sendable (Int64) -> Void
    ) async throws -> Appended {
        let now = clock.now
        return try await commits.perform(
            .stream,
            then: { (appended: Appended) in if case .stored(let id) = appended { then(id) } },
            { [numbers] db in
                guard let moment = try SQL.moment(db, of: job), moment.runs(under: lease) else { return .attemptOver }
                let reach = try SQL.newestReach(db, of: job)
                let end = reach.flatMap { $0.attempt == moment.attempt ? $0.byteCount : nil } ?? 0
                guard piece.start == end else {
                    if piece.start + piece.bytes.count <= end { return .known }
                    return .gap(end: end)
                }
                return .stored(try SQL.insertPiece(db, job, attempt: moment.attempt, piece, numbers, at: now))
            }
        )
    }

    /// How far the newest attempt of a job has come that has given bytes; nil: none has.
    package func reach(of job: JobKey) async throws -> StreamReach? {
        try await reads.perform { db in try SQL.newestReach(db, of: job) }
    }

    /// How far one attempt has come; nil: it has given no bytes.
    package func reach(of run: PieceRun) async throws -> StreamReach? {
        try await reads.perform { db in try SQL.reach(db, of: run) }
    }

    /// The beginning of what a running job's attempt has answered; nil: nothing has come, or the job is not running.
    package func runningStream(of job: JobKey) async throws -> (run: PieceRun, head: StreamHead)? {
        try await reads.perform { db in
            guard let moment = try SQL.moment(db, of: job), moment.isRunning else { return nil }
            let run = PieceRun(job: job, attempt: moment.attempt)
            return try SQL.streamHead(db, of: run).map { (run, $0) }
        }
    }

    /// Whether this attempt still runs.
    package func isRunning(_ run: PieceRun) async throws -> Bool {
        try await reads.perform { db in
            try SQL.moment(db, of: run.job).map { $0.isRunning && $0.attempt == run.attempt } ?? false
        }
    }

    /// What the head of an attempt's answer said; nil: it has given no bytes.
    package func streamHead(of run: PieceRun) async throws -> StreamHead? {
        try await reads.perform { db in try SQL.streamHead(db, of: run) }
    }

    /// The bytes of an attempt's answer from a cursor on, as far as they are on disk.
    ///
    /// - Parameter byteLimit: once so many were read, no further piece is.
    /// - Returns: nil: the job is gone.
    package func page(at cursor: StreamCursor, byteLimit: Int) async throws -> StreamPage? {
        try await reads.perform { db in
            guard let moment = try SQL.moment(db, of: cursor.run.job) else { return nil }
            return try SQL.page(db, at: cursor, byteLimit: byteLimit, moment)
        }
    }

    /// As ``history(_:after:limit:byteLimit:)``, with the pieces of answers among the events.
    package func historyWithOutput(
        _ key: JobKey, after id: Int64, limit: Int, byteLimit: Int
    ) async throws -> JobHistory? {
        try await reads.perform { [names] db in
            let (events, isCut) = try SQL.eventsAndPieces(db, of: key, after: id, limit: limit, byteLimit: byteLimit)
            let found =
                try events.last?.isLast == true
                ? SQL.selectWholeJob(db, key, names) : SQL.selectJob(db, key, names)
            return found.map { JobHistory(job: $0, events: events, isCut: isCut) }
        }
    }

    /// All bytes of an answer that was stored as it came.
    ///
    /// - Throws: ``StoreError/gone`` when the job was removed meanwhile.
    package func bytes(of run: PieceRun, byteCount: Int) async throws -> [UInt8] {
        let bytes = try await scan { db in
            var bytes: [UInt8] = []
            guard let id = try SQL.idOfPiece(db, of: run.job, at: StreamOffset(attempt: run.attempt, byte: 0)) else {
                return bytes
            }
            try SQL.forEachPiece(db, of: run.job, from: id) { stored in
                guard stored.attempt == run.attempt else { return false }
                bytes += stored.piece.bytes
                return true
            }
            return bytes
        }
        guard bytes.count == byteCount else { throw try await missing(run) }
        return bytes
    }

    /// Why bytes of an answer are missing.
    func missing(_ run: PieceRun) async throws -> StoreError {
        let isThere = try await reads.perform { db in try SQL.moment(db, of: run.job) != nil }
        return isThere ? .damaged(reason: "pieces of an answer are missing") : .gone
    }
}

/// Where a reader of one attempt's answer goes on.
package struct StreamCursor: Sendable {
    package let run: PieceRun
    /// Bytes of the answer before it.
    package fileprivate(set) var byte: Int
    /// Of the last piece that was read; nil: none was.
    fileprivate var lastPiece: Int64?

    package init(_ run: PieceRun, byte: Int) {
        self.run = run
        self.byte = byte
    }

    /// Bytes up to `byte` were read elsewhere, the last ones in the piece with this id.
    package mutating func advance(to byte: Int, piece: Int64) {
        self.byte = byte
        lastPiece = piece
    }
}

/// A stretch of an answer.
package struct StreamPage: Sendable {
    package fileprivate(set) var bytes: [UInt8]
    /// Where to go on.
    package fileprivate(set) var next: StreamCursor
    /// Whether there may be more to read at once.
    package fileprivate(set) var isCut: Bool
    /// As they were when the bytes were read.
    package let status: Status
    /// The newest attempt of the job.
    package let attempt: Int
    /// The attempt whose pieces are the job's output; nil: it has none, or one that came whole.
    package let outputAttempt: Int?
}

/// What tells of a job whether an attempt of it still runs.
struct JobMoment {
    let phase: Int
    let attempt: Int
    let lease: Job.Lease
    let outputAttempt: Int?

    var isRunning: Bool { phase == 2 }

    func runs(under lease: Job.Lease) -> Bool {
        isRunning && self.lease == lease
    }
}

private enum RunColumn: CInt, NamedColumn {
    case phase, attempt, lease, outputAttempt
}

extension SQL {
    private static let momentSelection = SQLText<RunColumn>(
        "SELECT \(RunColumn.allCases.names) FROM job WHERE key = ?"
    )

    static func moment(_ db: Database, of job: JobKey) throws -> JobMoment? {
        try db.with(momentSelection) { row in
            try row.bind(job)
            guard try row.step() else { return nil }
            return JobMoment(
                phase: try row.int(.phase), attempt: try row.int(.attempt),
                lease: Job.Lease(number: try row.int64(.lease)), outputAttempt: try row.optionalInt(.outputAttempt)
            )
        }
    }

    fileprivate static func page(
        _ db: Database, at cursor: StreamCursor, byteLimit: Int, _ moment: JobMoment
    ) throws -> StreamPage {
        var page = StreamPage(
            bytes: [], next: cursor, isCut: false, status: try status(ofPhase: moment.phase), attempt: moment.attempt,
            outputAttempt: moment.outputAttempt)
        let run = cursor.run
        let offset = StreamOffset(attempt: run.attempt, byte: cursor.byte)
        let first = try cursor.lastPiece.map { $0 + 1 } ?? idOfPiece(db, of: run.job, at: offset)
        guard let first else { return page }
        try forEachPiece(db, of: run.job, from: first) { stored in
            guard stored.attempt == run.attempt else { return stored.attempt < run.attempt }
            if page.bytes.count >= byteLimit {
                page.isCut = true
                return false
            }
            page.bytes += stored.piece.bytes.dropFirst(max(0, page.next.byte - stored.piece.start))
            page.next.byte = max(page.next.byte, stored.end)
            page.next.lastPiece = stored.id
            return true
        }
        return page
    }

    /// The status that clients know a phase by.
    private static func status(ofPhase phase: Int) throws -> Status {
        guard let status = Status.allCases.first(where: { phases(of: $0).contains(phase) }) else {
            throw StoreError.corrupt(path: "column phase", reason: "unknown")
        }
        return status
    }

    /// Events and pieces of a job after an id, in their one order.
    ///
    /// - Returns: whether there may be more.
    fileprivate static func eventsAndPieces(
        _ db: Database, of job: JobKey, after id: Int64, limit: Int, byteLimit: Int
    ) throws -> ([JobEvent], isCut: Bool) {
        // Clients may name any number: nothing comes after the largest.
        guard id < .max else { return ([], false) }
        var pieces: [JobEvent] = []
        var byteCount = 0
        var end = Int64.max
        try forEachPiece(db, of: job, from: id + 1) { stored in
            guard pieces.count < limit, byteCount < byteLimit else {
                end = stored.id
                return false
            }
            byteCount += stored.piece.bytes.count
            var draft = JobEvent.Draft(
                kind: .output, status: .running, attempt: stored.attempt, runAt: Timestamp(milliseconds: 0))
            draft.piece = stored.piece
            pieces.append(JobEvent(id: stored.id, job: job, at: stored.at, draft: draft))
            return true
        }
        let events = try self.events(db, of: job, after: id, limit: limit, byteLimit: byteLimit)
        let eventBytes = events.reduce(0) { $0 + ($1.draft.detail?.count ?? 0) }
        if events.count == limit || eventBytes >= byteLimit, let last = events.last { end = min(end, last.id + 1) }
        let all = (events + pieces).filter { $0.id < end }.sorted { $0.id < $1.id }
        return (Array(all.prefix(limit)), end != .max || all.count > limit)
    }
}
