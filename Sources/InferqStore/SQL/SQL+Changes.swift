import GRDB
import InferqCore

/// One change of a job, with all that follows from it in the same transaction.
extension SQL {
    /// Bytes that a piece takes beside its own: the row and its entry in the index, as measured.
    private static let pieceOverhead = 64

    /// Writes what a transition has made of a job: its events, then its row.
    ///
    /// - Parameters:
    ///   - job: as the transition left it; it gets the id of its newest event, and what follows from its pieces.
    ///   - before: as it was.
    /// - Returns: the events, with their ids.
    static func write(
        _ db: Database, _ job: inout Job, from before: Job, _ drafts: [JobEvent.Draft], _ numbers: EventNumbers,
        at now: Moment
    ) throws -> [JobEvent] {
        var drafts = drafts
        if case .running = before.state, job.state != before.state {
            try endAttempt(db, &job, attempt: before.attempt, &drafts)
        }
        if job.status.isFinal, job.output == nil, job.options.call != nil, job.attempt > 0,
            let reach = try newestReach(db, of: job.key), reach.attempt == job.attempt
        {
            job.output = try part(db, of: job.key, reach)
        }
        var events: [JobEvent] = []
        events.reserveCapacity(drafts.count)
        for draft in drafts {
            if let piece = draft.piece {
                let id = try insertPiece(db, job.key, attempt: draft.attempt, piece, numbers, at: now)
                events.append(JobEvent(id: id, job: job.key, at: now.wall, draft: draft))
            } else {
                let event = try insertEvent(db, job.key, draft, numbers, at: now)
                job.lastEvent = event.id
                events.append(event)
            }
        }
        if let output = job.output, before.output == nil {
            try completeJob(db, job, output: output, at: now)
        } else if job != before {
            try updateJob(db, job, at: now)
        }
        return events
    }

    /// Counts the pieces of an attempt that has ended; a job that goes on tells what was shown.
    private static func endAttempt(
        _ db: Database, _ job: inout Job, attempt: Int, _ drafts: inout [JobEvent.Draft]
    ) throws {
        let rest = drafts.lazy.compactMap(\.piece).first
        let reach =
            try rest.map { StreamReach(attempt: attempt, endingWith: $0) }
            ?? newestReach(db, of: job.key).flatMap { $0.attempt == attempt ? $0 : nil }
        guard let reach else { return }
        job.streamed &+= reach.byteCount &+ reach.pieceCount &* pieceOverhead
        for index in drafts.indices where drafts[index].kind == .updated && drafts[index].status == .pending {
            drafts[index].detail = reach.json
        }
    }

    /// The part of an answer that came before its attempt was cut short: a call that has ended without a whole one keeps it.
    private static func part(_ db: Database, of job: JobKey, _ reach: StreamReach) throws -> Payload {
        let run = PieceRun(job: job, attempt: reach.attempt)
        let head = try streamHead(db, of: run)
        var payload = Payload(
            content: .pieces(run), byteCount: reach.byteCount, contentType: head?.contentType, form: .bytes)
        payload.contentEncoding = head?.contentEncoding
        payload.head = head?.answer
        payload.note = "This is the part of the answer that came before the attempt ended."
        return payload
    }
}
