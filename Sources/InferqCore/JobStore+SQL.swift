import Foundation
import GRDB

/// Every statement, one named function each, bound parameters only.
enum SQL {}

// MARK: Jobs

extension SQL {
    /// The columns of a job without its bodies, in the order that ``job(_:_:)`` reads them.
    private static let head = """
        key, id, event_id, model, phase, priority, run_at, expires_at, timeout, max_attempts, attempt, failures, lease, \
        crashes, started_at, finished_at, last_event, retry_of, traceparent, metadata, error, input_type, input_size, \
        input_json, input_digest, input_file, output_type, output_size, output_json, output_digest, output_file, \
        layers_from, layers_to, layers, reports
        """
    private static let headCount: CInt = 35

    static func insertJob(_ db: Database, _ job: Job, model: Int64) throws {
        let (input, inputFile) = columns(job.input)
        try db.with(
            """
            INSERT INTO job (key, id, event_id, model, phase, priority, run_at, expires_at, timeout, max_attempts, \
            last_event, retry_of, traceparent, metadata, input_type, input_size, input_json, input_digest, \
            input_file, input) \
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """
        ) { row in
            try row.bind(job.key.value)
            try row.bind(job.id)
            try row.bind(job.eventID)
            try row.bind(model)
            try row.bind(phase(job.state))
            try row.bind(job.options.priority)
            try row.bind(job.runAt.milliseconds)
            try row.bind(job.options.expiresAt?.milliseconds)
            try row.bind(job.options.timeout?.milliseconds)
            try row.bind(job.options.maxAttempts)
            try row.bind(job.lastEvent)
            try row.bind(job.options.retryOf)
            try row.bind(job.options.traceparent)
            try row.bind(job.options.metadata.isEmpty ? nil : job.options.metadata)
            try row.bind(job.input.contentType)
            try row.bind(job.input.byteCount)
            try row.bind(job.input.isJSON ? 1 : 0)
            try row.bind(job.input.digest)
            try row.bind(inputFile)
            try row.bind(input)
            try row.run()
        }
    }

    /// The job with its bodies unread, or nil.
    static func selectJob(_ db: Database, _ key: JobKey, _ names: ModelNames) throws -> Job? {
        try db.with("SELECT \(head) FROM job WHERE key = ?") { row in
            try row.bind(key.value)
            return try row.step() ? try job(row, names) : nil
        }
    }

    /// The job with its input, and its output if it has one, or nil.
    static func selectWholeJob(_ db: Database, _ key: JobKey, _ names: ModelNames) throws -> Job? {
        try db.with("SELECT \(head), input, output FROM job WHERE key = ?") { row in
            try row.bind(key.value)
            guard try row.step() else { return nil }
            var job = try job(row, names)
            if let input = try row.bytes(headCount) { job.input.content = .inline(input) }
            if let output = try row.bytes(headCount + 1) { job.output?.content = .inline(output) }
            return job
        }
    }

    /// Writes everything of a job that a transition can have changed, but for a new output.
    static func updateJob(_ db: Database, _ job: Job) throws {
        try db.with(
            """
            UPDATE job SET phase = ?, run_at = ?, attempt = ?, failures = ?, lease = ?, crashes = ?, \
            started_at = ?, finished_at = ?, last_event = ?, error = ?, layers = ?, reports = ? WHERE key = ?
            """
        ) { row in
            try row.bind(phase(job.state))
            try row.bind(job.runAt.milliseconds)
            try row.bind(job.attempt)
            try row.bind(job.failures)
            try row.bind(job.lease.number)
            try row.bind(job.crashes)
            try row.bind(job.startedAt?.milliseconds)
            try row.bind(job.finishedAt?.milliseconds)
            try row.bind(job.lastEvent)
            try row.bind(job.error?.json)
            try row.bind(columns(job.layers).early)
            try row.bind(job.reports)
            try row.bind(job.key.value)
            try row.run()
        }
    }

    /// As ``updateJob(_:_:)``, for a job that has just got its output.
    static func completeJob(_ db: Database, _ job: Job, output: Payload) throws {
        let layers = columns(job.layers)
        let (bytes, file) = columns(output)
        try db.with(
            """
            UPDATE job SET phase = ?, failures = ?, crashes = ?, finished_at = ?, last_event = ?, error = NULL, \
            output_type = ?, output_size = ?, output_json = ?, output_digest = ?, output_file = ?, output = ?, \
            layers_from = ?, layers_to = ?, layers = ? WHERE key = ?
            """
        ) { row in
            try row.bind(phase(job.state))
            try row.bind(job.failures)
            try row.bind(job.crashes)
            try row.bind(job.finishedAt?.milliseconds)
            try row.bind(job.lastEvent)
            try row.bind(output.contentType)
            try row.bind(output.byteCount)
            try row.bind(output.isJSON ? 1 : 0)
            try row.bind(output.digest)
            try row.bind(file)
            try row.bind(bytes)
            try row.bind(layers.from)
            try row.bind(layers.to)
            try row.bind(layers.early)
            try row.bind(job.key.value)
            try row.run()
        }
    }

    static func lastKey(_ db: Database) throws -> JobKey? {
        try Int64.fetchOne(db.cachedStatement(sql: "SELECT max(key) FROM job")).map(JobKey.init(value:))
    }

    /// Whether a row names this file.
    static func isNamed(_ db: Database, _ blob: BlobName) throws -> Bool {
        let statement = try db.cachedStatement(
            sql: """
                SELECT EXISTS (SELECT 1 FROM job WHERE input_file = ?1) \
                OR EXISTS (SELECT 1 FROM job WHERE output_file = ?1)
                """
        )
        return try Bool.fetchOne(statement, arguments: [blob.text]) ?? false
    }
}

// MARK: Scheduling

extension SQL {
    /// The first due jobs of a model, by priority, then age.
    static func dueJobs(_ db: Database, model: Int64, limit: Int) throws -> [Candidate] {
        try db.with(
            """
            SELECT key, priority, crashes FROM job WHERE model = ? AND phase = 1 ORDER BY priority DESC, key LIMIT ?
            """
        ) { row in
            try row.bind(model)
            try row.bind(limit)
            var candidates: [Candidate] = []
            while try row.step() {
                candidates.append(
                    Candidate(
                        key: JobKey(value: try row.int64(0)),
                        priority: try row.int(1),
                        isSuspect: try row.int(2) >= Job.crashesOfSuspect
                    )
                )
            }
            return candidates
        }
    }

    /// Jobs whose `run_at` has come, the earliest first.
    static func waitingJobs(_ db: Database, until now: Timestamp, limit: Int) throws -> [JobKey] {
        let statement = try db.cachedStatement(
            sql: "SELECT key FROM job WHERE phase = 0 AND run_at <= ? ORDER BY run_at LIMIT ?"
        )
        return try Int64.fetchAll(statement, arguments: [now.milliseconds, limit]).map(JobKey.init(value:))
    }

    /// Jobs whose first attempt has not begun by `expires_at`.
    static func expiredJobs(_ db: Database, at now: Timestamp, limit: Int) throws -> [JobKey] {
        let statement = try db.cachedStatement(
            sql: """
                SELECT key FROM job WHERE expires_at IS NOT NULL AND attempt = 0 AND phase < 2 AND expires_at <= ? \
                ORDER BY expires_at LIMIT ?
                """
        )
        return try Int64.fetchAll(statement, arguments: [now.milliseconds, limit]).map(JobKey.init(value:))
    }

    /// The next moment at which a job becomes due or expires.
    static func nextDeadline(_ db: Database) throws -> Timestamp? {
        let due = try Int64.fetchOne(db.cachedStatement(sql: "SELECT min(run_at) FROM job WHERE phase = 0"))
        let expiry = try Int64.fetchOne(
            db.cachedStatement(
                sql: """
                    SELECT min(expires_at) FROM job WHERE expires_at IS NOT NULL AND attempt = 0 AND phase < 2
                    """
            )
        )
        return [due, expiry].compactMap { $0 }.min().map(Timestamp.init(milliseconds:))
    }

    static func runningJobs(_ db: Database) throws -> [JobKey] {
        let statement = try db.cachedStatement(
            sql: "SELECT key FROM job WHERE model IN (SELECT id FROM model) AND phase = 2 ORDER BY key"
        )
        return try Int64.fetchAll(statement).map(JobKey.init(value:))
    }

    /// How many jobs of each model and priority are pending: read once, at the start, from the index alone.
    static func pendingCounts(_ db: Database) throws -> [(model: Int64, priority: Int, isDue: Bool, count: Int)] {
        let due = try db.cachedStatement(
            sql: "SELECT model, priority, count(*) FROM job INDEXED BY job_due WHERE phase = 1 GROUP BY 1, 2"
        )
        let waiting = try db.cachedStatement(
            sql: "SELECT model, priority, count(*) FROM job WHERE phase = 0 GROUP BY 1, 2"
        )
        return try Row.fetchCursor(due).array { ($0[0], $0[1], true, $0[2]) }
            + Row.fetchCursor(waiting).array { ($0[0], $0[1], false, $0[2]) }
    }

    /// How many due jobs of the same model and priority are older, counted up to `limit`.
    static func olderDueJobs(_ db: Database, model: Int64, priority: Int, key: JobKey, limit: Int) throws -> Int {
        try db.with(
            """
            SELECT count(*) FROM (SELECT 1 FROM job WHERE model = ? AND phase = 1 AND priority = ? AND key < ? LIMIT ?)
            """
        ) { row in
            try row.bind(model)
            try row.bind(priority)
            try row.bind(key.value)
            try row.bind(limit)
            return try row.step() ? try row.int(0) : 0
        }
    }
}

// MARK: Lists

extension SQL {
    /// A run of one model's jobs in one phase, newest first.
    static func listedKeys(
        _ db: Database,
        model: Int64,
        phase: Int,
        from lower: JobKey,
        below upper: JobKey,
        limit: Int
    ) throws -> [JobKey] {
        let statement = try db.cachedStatement(
            sql: """
                SELECT key FROM job WHERE model = ? AND phase = ? AND key >= ? AND key < ? ORDER BY key DESC LIMIT ?
                """
        )
        return try Int64.fetchAll(statement, arguments: [model, phase, lower.value, upper.value, limit])
            .map(JobKey.init(value:))
    }

    /// All jobs, newest first.
    static func listedJobs(
        _ db: Database,
        from lower: JobKey,
        below upper: JobKey,
        limit: Int,
        _ names: ModelNames
    ) throws -> [Job] {
        try db.with("SELECT \(head) FROM job WHERE key >= ? AND key < ? ORDER BY key DESC LIMIT ?") { row in
            try row.bind(lower.value)
            try row.bind(upper.value)
            try row.bind(limit)
            var jobs: [Job] = []
            while try row.step() { jobs.append(try job(row, names)) }
            return jobs
        }
    }

    /// The phases that a client knows under one status.
    static func phases(of status: Status) -> [Int] {
        switch status {
        case .pending: [0, 1]
        case .running: [2]
        case .completed: [3]
        case .failed: [4]
        case .cancelled: [5]
        }
    }
}

// MARK: Events

extension SQL {
    /// Appends an event and returns it with its id.
    static func insertEvent(_ db: Database, _ job: JobKey, _ draft: JobEvent.Draft, at now: Timestamp) throws
        -> JobEvent
    {
        try db.with(
            """
            INSERT INTO event (job, kind, status, at, attempt, run_at, text, error, detail) \
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
            """
        ) { row in
            try row.bind(job.value)
            try row.bind(draft.kind.rawValue)
            try row.bind(draft.status.rawValue)
            try row.bind(now.milliseconds)
            try row.bind(draft.attempt)
            try row.bind(draft.runAt.milliseconds)
            try row.bind(draft.text)
            try row.bind(draft.error?.json)
            try row.bind(draft.detail)
            try row.run()
        }
        return JobEvent(id: db.lastInsertedRowID, job: job, at: now, draft: draft)
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

// MARK: Rows

extension SQL {
    private static func phase(_ state: Job.State) -> Int {
        switch state {
        case .pending(let isDue): isDue ? 1 : 0
        case .running: 2
        case .completed: 3
        case .failed: 4
        case .cancelled: 5
        }
    }

    private static func columns(_ payload: Payload) -> (bytes: [UInt8]?, file: String?) {
        switch payload.content {
        case .inline(let bytes): (bytes, nil)
        case .file(let name): (nil, name.text)
        case .unread: (nil, nil)
        }
    }

    private static func columns(_ layers: Job.Layers) -> (from: Int64?, to: Int64?, early: [UInt8]?) {
        switch layers {
        case .none: (nil, nil, nil)
        case .array(let range): (Int64(range.lowerBound), Int64(range.upperBound), nil)
        // An object is told from an array by what stands in the third column; nothing more need be stored.
        case .object(let range): (Int64(range.lowerBound), Int64(range.upperBound), Array("{}".utf8))
        case .early(let bytes): (nil, nil, bytes)
        }
    }

    private static func job(_ row: PreparedStatement, _ names: ModelNames) throws -> Job {
        let key = JobKey(value: try row.int64(0))
        guard let id = try row.uuid(1), let eventID = try row.uuid(2), let model = names.name(of: try row.int64(3))
        else { throw StoreError.corrupt(path: "job \(key.value)", reason: "an identifier is malformed") }
        let runAt = Timestamp(milliseconds: try row.int64(6))
        var job = Job(
            id: id,
            eventID: eventID,
            model: model,
            options: try options(row),
            input: try payload(row, type: 21, file: 25),
            runAt: runAt,
            now: runAt
        )
        job.attempt = try row.int(10)
        job.failures = try row.int(11)
        job.lease = Job.Lease(number: try row.int64(12))
        job.crashes = try row.int(13)
        job.startedAt = try row.time(14)
        job.state = try state(try row.int(4), job.lease, finishedAt: try row.time(15))
        job.lastEvent = try row.int64(16)
        job.error = try row.bytes(20).map(Failure.init(json:))
        if !row.isNull(27) { job.output = try payload(row, type: 26, file: 30) }
        job.layers = try layers(row)
        job.reports = try row.int(34)
        return job
    }

    private static func options(_ row: PreparedStatement) throws -> Job.Options {
        var options = Job.Options(maxAttempts: try row.int(9))
        options.priority = try row.int(5)
        options.expiresAt = try row.time(7)
        options.timeout = try row.optionalInt64(8).map { .milliseconds($0) }
        options.retryOf = try row.uuid(17)
        options.traceparent = try row.text(18)
        options.metadata = try row.bytes(19) ?? []
        return options
    }

    /// The five columns from `type` on, but for the last one, which is `file`: type, size, JSON or not, digest, file.
    private static func payload(_ row: PreparedStatement, type: CInt, file: CInt) throws -> Payload {
        Payload(
            content: try row.text(file).map { .file(BlobName(text: $0)) } ?? .unread,
            byteCount: try row.int(type + 1),
            contentType: try row.text(type),
            isJSON: try row.int64(type + 2) != 0,
            digest: try row.bytes(type + 3)
        )
    }

    private static func state(_ phase: Int, _ lease: Job.Lease, finishedAt: Timestamp?) throws -> Job.State {
        switch (phase, finishedAt) {
        case (0, nil): return .pending(isDue: false)
        case (1, nil): return .pending(isDue: true)
        case (2, nil): return .running(lease)
        case (3, let at?): return .completed(finishedAt: at)
        case (4, let at?): return .failed(finishedAt: at)
        case (5, let at?): return .cancelled(finishedAt: at)
        default: throw StoreError.corrupt(path: "column phase", reason: "it does not go with finished_at")
        }
    }

    private static func layers(_ row: PreparedStatement) throws -> Job.Layers {
        let early = try row.bytes(33)
        guard let from = try row.optionalInt(31), let to = try row.optionalInt(32), from <= to, from >= 0 else {
            return early.map { .early($0) } ?? .none
        }
        return early == nil ? .array(from..<to) : .object(from..<to)
    }
}
