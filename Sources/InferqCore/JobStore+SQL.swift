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
    private static let headCount = 35

    static func insertJob(_ db: Database, _ job: Job, model: Int64) throws {
        let (input, inputFile) = columns(job.input)
        try db.cachedStatement(
            sql: """
                INSERT INTO job (key, id, event_id, model, phase, priority, run_at, expires_at, timeout, max_attempts, \
                last_event, retry_of, traceparent, metadata, input_type, input_size, input_json, input_digest, \
                input_file, input) \
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """
        ).execute(arguments: [
            job.key.value, job.id.data, job.eventID.data, model, phase(job.state), job.options.priority,
            job.runAt.milliseconds, job.options.expiresAt?.milliseconds, job.options.timeout?.milliseconds,
            job.options.maxAttempts, job.lastEvent, job.options.retryOf?.data, job.options.traceparent,
            job.options.metadata.isEmpty ? nil : Data(job.options.metadata), job.input.contentType,
            job.input.byteCount, job.input.isJSON, job.input.digest.map { Data($0) }, inputFile, input,
        ])
    }

    /// The job with its bodies unread, or nil.
    static func selectJob(_ db: Database, _ key: JobKey, _ names: ModelNames) throws -> Job? {
        let statement = try db.cachedStatement(sql: "SELECT \(head) FROM job WHERE key = ?")
        return try Row.fetchCursor(statement, arguments: [key.value]).first { try job($0, names) }
    }

    /// The job with its input, and its output if it has one, or nil.
    static func selectWholeJob(_ db: Database, _ key: JobKey, _ names: ModelNames) throws -> Job? {
        let statement = try db.cachedStatement(sql: "SELECT \(head), input, output FROM job WHERE key = ?")
        return try Row.fetchCursor(statement, arguments: [key.value]).first { row in
            var job = try job(row, names)
            if let input = row[headCount] as Data? { job.input.content = .inline([UInt8](input)) }
            if let output = row[headCount + 1] as Data? { job.output?.content = .inline([UInt8](output)) }
            return job
        }
    }

    /// Writes everything of a job that a transition can have changed, but for a new output.
    static func updateJob(_ db: Database, _ job: Job) throws {
        let layers = columns(job.layers)
        try db.cachedStatement(
            sql: """
                UPDATE job SET phase = ?, run_at = ?, attempt = ?, failures = ?, lease = ?, crashes = ?, \
                started_at = ?, finished_at = ?, last_event = ?, error = ?, layers = ?, reports = ? WHERE key = ?
                """
        ).execute(arguments: [
            phase(job.state), job.runAt.milliseconds, job.attempt, job.failures, job.lease.number, job.crashes,
            job.startedAt?.milliseconds, job.finishedAt?.milliseconds, job.lastEvent, job.error.map { Data($0.json) },
            layers.early, job.reports, job.key.value,
        ])
    }

    /// As ``updateJob(_:_:)``, for a job that has just got its output.
    static func completeJob(_ db: Database, _ job: Job, output: Payload) throws {
        let layers = columns(job.layers)
        let (bytes, file) = columns(output)
        try db.cachedStatement(
            sql: """
                UPDATE job SET phase = ?, failures = ?, crashes = ?, finished_at = ?, last_event = ?, error = NULL, \
                output_type = ?, output_size = ?, output_json = ?, output_digest = ?, output_file = ?, output = ?, \
                layers_from = ?, layers_to = ?, layers = ? WHERE key = ?
                """
        ).execute(arguments: [
            phase(job.state), job.failures, job.crashes, job.finishedAt?.milliseconds, job.lastEvent,
            output.contentType, output.byteCount, output.isJSON, output.digest.map { Data($0) }, file, bytes,
            layers.from, layers.to, layers.early, job.key.value,
        ])
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
        let statement = try db.cachedStatement(
            sql: """
                SELECT key, priority, crashes FROM job WHERE model = ? AND phase = 1 \
                ORDER BY priority DESC, key LIMIT ?
                """
        )
        return try Row.fetchCursor(statement, arguments: [model, limit]).array { row in
            Candidate(
                key: JobKey(value: row[0]),
                priority: row[1],
                isSuspect: (row[2] as Int) >= Job.crashesOfSuspect
            )
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
        let statement = try db.cachedStatement(
            sql: """
                SELECT count(*) FROM (SELECT 1 FROM job \
                WHERE model = ? AND phase = 1 AND priority = ? AND key < ? LIMIT ?)
                """
        )
        return try Int.fetchOne(statement, arguments: [model, priority, key.value, limit]) ?? 0
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
        let statement = try db.cachedStatement(
            sql: "SELECT \(head) FROM job WHERE key >= ? AND key < ? ORDER BY key DESC LIMIT ?"
        )
        return try Row.fetchCursor(statement, arguments: [lower.value, upper.value, limit]).array {
            try job($0, names)
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
        try db.cachedStatement(
            sql: """
                INSERT INTO event (job, kind, status, at, attempt, run_at, text, error, detail) \
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
                """
        ).execute(arguments: [
            job.value, draft.kind.rawValue, draft.status.rawValue, now.milliseconds, draft.attempt,
            draft.runAt.milliseconds, draft.text, draft.error.map { Data($0.json) }, draft.detail.map { Data($0) },
        ])
        return JobEvent(id: db.lastInsertedRowID, job: job, at: now, draft: draft)
    }

    /// The events of a job after one id, in order.
    static func events(_ db: Database, of job: JobKey, after id: Int64, limit: Int) throws -> [JobEvent] {
        let statement = try db.cachedStatement(
            sql: """
                SELECT id, kind, status, at, attempt, run_at, text, error, detail FROM event \
                WHERE job = ? AND id > ? ORDER BY id LIMIT ?
                """
        )
        return try Row.fetchCursor(statement, arguments: [job.value, id, limit]).array { row in
            guard let kind = JobEvent.Kind(rawValue: row[1]), let status = Status(rawValue: row[2]) else {
                throw StoreError.corrupt(path: "event \(row[0] as Int64)", reason: "unknown kind or status")
            }
            return JobEvent(
                id: row[0],
                job: job,
                at: Timestamp(milliseconds: row[3]),
                draft: JobEvent.Draft(
                    kind: kind,
                    status: status,
                    attempt: row[4],
                    runAt: Timestamp(milliseconds: row[5]),
                    text: row[6],
                    error: (row[7] as Data?).map { Failure(json: [UInt8]($0)) },
                    detail: (row[8] as Data?).map { [UInt8]($0) }
                )
            )
        }
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

    private static func columns(_ payload: Payload) -> (bytes: Data?, file: String?) {
        switch payload.content {
        case .inline(let bytes): (Data(bytes), nil)
        case .file(let name): (nil, name.text)
        case .unread: (nil, nil)
        }
    }

    private static func columns(_ layers: Job.Layers) -> (from: Int?, to: Int?, early: Data?) {
        switch layers {
        case .none: (nil, nil, nil)
        case .array(let range): (range.lowerBound, range.upperBound, nil)
        // An object is told from an array by its first byte in the output; nothing more need be stored.
        case .object(let range): (range.lowerBound, range.upperBound, Data("{}".utf8))
        case .early(let bytes): (nil, nil, Data(bytes))
        }
    }

    private static func job(_ row: Row, _ names: ModelNames) throws -> Job {
        let key = JobKey(value: row[0])
        guard let id = UUIDv7(data: row[1]), let eventID = UUIDv7(data: row[2]), let model = names.name(of: row[3])
        else { throw StoreError.corrupt(path: "job \(key.value)", reason: "an identifier is malformed") }
        var options = Job.Options(maxAttempts: row[9])
        options.priority = row[5]
        options.expiresAt = (row[7] as Int64?).map(Timestamp.init(milliseconds:))
        options.timeout = (row[8] as Int64?).map { .milliseconds($0) }
        options.retryOf = (row[17] as Data?).flatMap(UUIDv7.init(data:))
        options.traceparent = row[18]
        options.metadata = (row[19] as Data?).map { [UInt8]($0) } ?? []
        let input = Payload(
            content: (row[25] as String?).map { .file(BlobName(text: $0)) } ?? .unread,
            byteCount: row[22],
            contentType: row[21],
            isJSON: row[23],
            digest: (row[24] as Data?).map { [UInt8]($0) }
        )
        let runAt = Timestamp(milliseconds: row[6])
        var job = Job(
            id: id,
            eventID: eventID,
            model: model,
            options: options,
            input: input,
            runAt: runAt,
            now: runAt
        )
        job.attempt = row[10]
        job.failures = row[11]
        job.lease = Job.Lease(number: row[12])
        job.crashes = row[13]
        job.startedAt = (row[14] as Int64?).map(Timestamp.init(milliseconds:))
        job.lastEvent = row[16]
        job.error = (row[20] as Data?).map { Failure(json: [UInt8]($0)) }
        let finishedAt = Timestamp(milliseconds: row[15] as Int64? ?? 0)
        switch row[4] as Int {
        case 0: job.state = .pending(isDue: false)
        case 1: job.state = .pending(isDue: true)
        case 2: job.state = .running(job.lease)
        case 3: job.state = .completed(finishedAt: finishedAt)
        case 4: job.state = .failed(finishedAt: finishedAt)
        default: job.state = .cancelled(finishedAt: finishedAt)
        }
        if let size = row[27] as Int? {
            job.output = Payload(
                content: (row[30] as String?).map { .file(BlobName(text: $0)) } ?? .unread,
                byteCount: size,
                contentType: row[26],
                isJSON: row[28],
                digest: (row[29] as Data?).map { [UInt8]($0) }
            )
        }
        job.reports = row[34]
        let early = row[33] as Data?
        if let from = row[31] as Int?, let to = row[32] as Int?, from <= to {
            job.layers = early == nil ? .array(from..<to) : .object(from..<to)
        } else if let early {
            job.layers = .early([UInt8](early))
        }
        return job
    }
}
