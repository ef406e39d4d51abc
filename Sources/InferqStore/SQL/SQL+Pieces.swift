import GRDB
import InferqCore

/// The columns of a piece, in the order that they are read in; those that only a writer needs come last.
enum PieceColumn: CInt, NamedColumn {
    case id, attempt, number, start, at, head, bytes
    case job, elapsed
}

/// What a reader of a piece's place alone gets.
private enum PlaceColumn: CInt, NamedColumn {
    case id, attempt, number, start, length
}

/// A piece as it is in the store.
struct StoredPiece: Sendable {
    /// Of the one sequence of events.
    let id: Int64
    let attempt: Int
    let at: Timestamp
    let piece: Piece

    /// Bytes of the attempt's answer up to its end. What a damaged file holds does not trap.
    var end: Int { piece.start &+ piece.bytes.count }
}

extension SQL {
    private static let pieceInsertion = SQLText<PieceColumn>(
        "INSERT INTO piece (\(PieceColumn.allCases.names)) VALUES (\(PieceColumn.allCases.parameters))"
    )

    private static let piecesOfJob = SQLText<PieceColumn>(
        "SELECT \(PieceColumn.allCases.prefix { $0 != .job }.names) FROM piece WHERE job = ? AND id >= ? ORDER BY id"
    )

    private static let place = "SELECT id, attempt, number, start, length(bytes) FROM piece WHERE job = ? "
    private static let newestPlace = SQLText<PlaceColumn>(place + "ORDER BY id DESC LIMIT 1")
    private static let nextPlace = SQLText<PlaceColumn>(place + "AND id >= ? ORDER BY id LIMIT 1")

    /// Appends a piece.
    ///
    /// - Returns: its id.
    static func insertPiece(
        _ db: Database, _ job: JobKey, attempt: Int, _ piece: Piece, _ numbers: EventNumbers, at now: Moment
    ) throws -> Int64 {
        let id = numbers.next()
        try db.with(pieceInsertion) { row in
            try row.bind(.id, id)
            try row.bind(.job, job)
            try row.bind(.attempt, attempt)
            try row.bind(.number, piece.number)
            try row.bind(.start, piece.start)
            try row.bind(.at, now.wall)
            try row.bind(.elapsed, now.elapsed)
            try row.bind(.head, piece.head?.json)
            try row.bind(.bytes, piece.bytes)
            try row.run()
        }
        return id
    }

    /// Calls `take` with the pieces of a job from one id on, over all attempts, in order, until it returns false.
    static func forEachPiece(
        _ db: Database, of job: JobKey, from id: Int64, _ take: (StoredPiece) throws -> Bool
    ) throws {
        try db.with(piecesOfJob) { row in
            try row.bind(job)
            try row.bind(id)
            while try row.step() {
                let piece = Piece(
                    number: try row.int(.number), start: try row.int(.start), bytes: try row.bytes(.bytes) ?? [],
                    head: try row.bytes(.head).map(StreamHead.init(json:))
                )
                let stored = StoredPiece(
                    id: try row.int64(.id), attempt: try row.int(.attempt),
                    at: Timestamp(milliseconds: try row.int64(.at)), piece: piece
                )
                guard try take(stored) else { return }
            }
        }
    }

    // MARK: Places

    /// Where a piece lies, without its bytes.
    private struct PiecePlace {
        let id: Int64
        let offset: StreamOffset
        let reach: StreamReach

        init(_ row: PreparedStatement<PlaceColumn>) throws {
            id = try row.int64(.id)
            offset = StreamOffset(attempt: try row.int(.attempt), byte: try row.int(.start))
            reach = StreamReach(
                attempt: offset.attempt, byteCount: offset.byte &+ (try row.int(.length)),
                pieceCount: try row.int(.number))
        }

        /// Attempts come one after another, and so do the bytes of each.
        func isPast(_ other: StreamOffset) -> Bool {
            (offset.attempt, offset.byte) > (other.attempt, other.byte)
        }
    }

    /// How far the newest attempt has come that has given bytes; nil: none has.
    static func newestReach(_ db: Database, of job: JobKey) throws -> StreamReach? {
        try newestPiece(db, of: job)?.reach
    }

    /// The id of the newest piece of a job; nil: it has none.
    static func newestPieceID(_ db: Database, of job: JobKey) throws -> Int64? {
        try newestPiece(db, of: job)?.id
    }

    private static func newestPiece(_ db: Database, of job: JobKey) throws -> PiecePlace? {
        try db.with(newestPlace) { row in
            try row.bind(job)
            return try row.step() ? try PiecePlace(row) : nil
        }
    }

    private static func piece(_ db: Database, of job: JobKey, from id: Int64) throws -> PiecePlace? {
        try db.with(nextPlace) { row in
            try row.bind(job)
            try row.bind(id)
            return try row.step() ? try PiecePlace(row) : nil
        }
    }

    /// The id of the last piece that begins at `offset` or before it; nil: all begin after it.
    ///
    /// Offsets grow with ids, which are found by halving their range: some thirty steps into the index.
    static func idOfPiece(_ db: Database, of job: JobKey, at offset: StreamOffset) throws -> Int64? {
        guard let first = try piece(db, of: job, from: 0), !first.isPast(offset),
            let last = try newestPiece(db, of: job)
        else { return nil }
        guard last.isPast(offset) else { return last.id }
        var (found, end) = (first.id, last.id)
        while found + 1 < end {
            let middle = found + (end - found) / 2
            // There is one: the last piece comes after the middle.
            guard let next = try piece(db, of: job, from: middle) else { break }
            if next.isPast(offset) { end = middle } else { found = next.id }
        }
        return found
    }

    /// How far one attempt has come; nil: it has given no bytes.
    static func reach(_ db: Database, of run: PieceRun) throws -> StreamReach? {
        let end = StreamOffset(attempt: run.attempt, byte: .max)
        guard let id = try idOfPiece(db, of: run.job, at: end), let last = try piece(db, of: run.job, from: id),
            last.offset.attempt == run.attempt
        else { return nil }
        return last.reach
    }

    /// What the head of an attempt's answer said; nil: it has given no bytes.
    static func streamHead(_ db: Database, of run: PieceRun) throws -> StreamHead? {
        guard let id = try idOfPiece(db, of: run.job, at: StreamOffset(attempt: run.attempt, byte: 0)) else {
            return nil
        }
        var head: StreamHead?
        try forEachPiece(db, of: run.job, from: id) { stored in
            if stored.attempt == run.attempt { head = stored.piece.head }
            return false
        }
        return head
    }

    /// - Returns: how many rows went.
    static func deletePieces(_ db: Database, of job: JobKey, limit: Int) throws -> Int {
        try db.cachedStatement(
            sql: "DELETE FROM piece WHERE id IN (SELECT id FROM piece WHERE job = ? ORDER BY id LIMIT ?)"
        ).execute(arguments: [job.value, limit])
        return db.changesCount
    }
}
