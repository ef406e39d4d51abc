import GRDB

extension SQL {
    /// Appends an event and returns it with its id.
    static func insertEvent(_ db: Database, _ job: JobKey, _ draft: JobEvent.Draft, at now: Moment) throws
        -> JobEvent
    {
        try db.with(
            """
            INSERT INTO event (job, kind, status, at, elapsed, attempt, run_at, text, error, detail) \
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """
        ) { row in
            try row.bind(job.value)
            try row.bind(draft.kind.rawValue)
            try row.bind(draft.status.rawValue)
            try row.bind(now.wall.milliseconds)
            try row.bind(now.elapsed.milliseconds)
            try row.bind(draft.attempt)
            try row.bind(draft.runAt.milliseconds)
            try row.bind(draft.text)
            try row.bind(draft.error?.json)
            try row.bind(draft.detail)
            try row.run()
        }
        return JobEvent(id: db.lastInsertedRowID, job: job, at: now.wall, draft: draft)
    }

    /// The events of a job after one id, in order.
    /// The events after `id`, at most `limit`; no more once the reports among them have `byteLimit` bytes.
    static func events(
        _ db: Database,
        of job: JobKey,
        after id: Int64,
        limit: Int,
        byteLimit: Int = .max
    ) throws -> [JobEvent] {
        try db.with(
            """
            SELECT id, kind, status, at, attempt, run_at, text, error, detail FROM event \
            WHERE job = ? AND id > ? ORDER BY id LIMIT ?
            """
        ) { row in
            try row.bind(job.value)
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
        try db.with("SELECT at, elapsed FROM event ORDER BY id DESC LIMIT 1") { row in
            guard try row.step() else { return nil }
            return (Timestamp(milliseconds: try row.int64(0)), Elapsed(milliseconds: try row.int64(1)))
        }
    }

    private static func event(_ row: PreparedStatement, of job: JobKey) throws -> JobEvent {
        let id = try row.int64(0)
        guard let kind = JobEvent.Kind(rawValue: try row.int(1)), let status = Status(rawValue: try row.int(2)) else {
            throw StoreError.corrupt(path: "event \(id)", reason: "unknown kind or status")
        }
        return JobEvent(
            id: id,
            job: job,
            at: Timestamp(milliseconds: try row.int64(3)),
            draft: JobEvent.Draft(
                kind: kind,
                status: status,
                attempt: try row.int(4),
                runAt: Timestamp(milliseconds: try row.int64(5)),
                text: try row.text(6),
                error: try row.bytes(7).map(Failure.init(json:)),
                detail: try row.bytes(8)
            )
        )
    }
}
