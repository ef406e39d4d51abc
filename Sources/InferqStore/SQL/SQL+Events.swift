import GRDB
import InferqCore

/// Those that a reader needs come first.
enum EventColumn: CInt, NamedColumn {
    case id, kind, status, at, attempt, runAt, text, error, detail
    case job, elapsed
}

/// When something was stored.
private enum MomentColumn: CInt, NamedColumn {
    case at, elapsed
}

extension SQL {
    private static let insertion = SQLText<EventColumn>(
        """
        INSERT INTO event (\(EventColumn.allCases.names)) VALUES (\(EventColumn.allCases.parameters))
        """
    )

    private static let eventsOfJob = SQLText<EventColumn>(
        """
        SELECT \(EventColumn.allCases.prefix { $0 != .job }.names) FROM event \
        WHERE job = ? AND id > ? ORDER BY id LIMIT ?
        """
    )

    private static let newestEntry = SQLText<MomentColumn>(
        """
        SELECT at, elapsed FROM (SELECT * FROM (SELECT id, at, elapsed FROM event ORDER BY id DESC LIMIT 1) \
        UNION ALL SELECT * FROM (SELECT id, at, elapsed FROM piece ORDER BY id DESC LIMIT 1)) ORDER BY id DESC LIMIT 1
        """
    )

    /// Appends an event and returns it with its id.
    static func insertEvent(
        _ db: Database, _ job: JobKey, _ draft: JobEvent.Draft, _ numbers: EventNumbers, at now: Moment
    ) throws -> JobEvent {
        let id = numbers.next()
        try db.with(insertion) { row in
            try row.bind(.id, id)
            try row.bind(.job, job)
            try row.bind(.kind, draft.kind.rawValue)
            try row.bind(.status, draft.status.rawValue)
            try row.bind(.at, now.wall)
            try row.bind(.elapsed, now.elapsed)
            try row.bind(.attempt, draft.attempt)
            try row.bind(.runAt, draft.runAt)
            try row.bind(.text, draft.text)
            try row.bind(.error, draft.error?.json)
            try row.bind(.detail, draft.detail)
            try row.run()
        }
        return JobEvent(id: id, job: job, at: now.wall, draft: draft)
    }

    /// The events of a job after `id`, in order: at most `limit`, and no more once the reports among them have
    /// `byteLimit` bytes.
    static func events(
        _ db: Database,
        of job: JobKey,
        after id: Int64,
        limit: Int,
        byteLimit: Int = .max
    ) throws -> [JobEvent] {
        try db.with(eventsOfJob) { row in
            try row.bind(job)
            try row.bind(id)
            try row.bind(limit)
            var events: [JobEvent] = []
            var bytes = 0
            while bytes < byteLimit, try row.step() {
                let event = try event(row, of: job)
                bytes += event.draft.detail?.count ?? 0
                events.append(event)
            }
            return events
        }
    }

    /// When the newest entry was made; nil in a new store.
    static func newestMoment(_ db: Database) throws -> (wall: Timestamp, elapsed: Elapsed)? {
        try db.with(newestEntry) { row in
            guard try row.step() else { return nil }
            return (Timestamp(milliseconds: try row.int64(.at)), Elapsed(milliseconds: try row.int64(.elapsed)))
        }
    }

    private static func event(_ row: PreparedStatement<EventColumn>, of job: JobKey) throws -> JobEvent {
        let id = try row.int64(.id)
        guard let kind = JobEvent.Kind(rawValue: try row.int(.kind)),
            let status = Status(rawValue: try row.int(.status))
        else { throw StoreError.corrupt(path: "event \(id)", reason: "unknown kind or status") }
        return JobEvent(
            id: id,
            job: job,
            at: Timestamp(milliseconds: try row.int64(.at)),
            draft: JobEvent.Draft(
                kind: kind,
                status: status,
                attempt: try row.int(.attempt),
                runAt: Timestamp(milliseconds: try row.int64(.runAt)),
                text: try row.text(.text),
                error: try row.bytes(.error).map(Failure.init(json:)),
                detail: try row.bytes(.detail)
            )
        )
    }
}
