import Foundation
import GRDB

/// Every statement, one named function each, bound parameters only.
enum SQL {}

// MARK: Jobs

extension SQL {
    /// The columns of a job without its bodies, in the order that ``job(_:_:)`` reads them.
    static let head = """
        key, id, event_id, model, phase, priority, run_at, expiry, timeout, max_attempts, attempt, failures, lease, \
        crashes, started_at, finished_at, last_event, retry_of, traceparent, metadata, error, input_type, input_size, \
        input_json, input_digest, input_file, output_type, output_size, output_form, output_digest, output_file, \
        layers_from, layers_to, layers, reports, output_encoding, output_note, created_at, due, expires_at
        """
    private static let headCount: CInt = 40

    static func insertJob(_ db: Database, _ job: Job, model: Int64) throws {
        let (input, inputFile) = columns(job.input)
        try db.with(
            """
            INSERT INTO job (key, id, event_id, model, phase, priority, created_at, run_at, due, expires_at, expiry, \
            timeout, max_attempts, last_event, retry_of, traceparent, metadata, input_type, input_size, input_json, input_digest, \
            input_file, input) \
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """
        ) { row in
            try row.bind(job.key.value)
            try row.bind(job.id)
            try row.bind(job.eventID)
            try row.bind(model)
            try row.bind(phase(job.state))
            try row.bind(job.options.priority)
            try row.bind(job.createdAt.milliseconds)
            try row.bind(job.runAt.milliseconds)
            try row.bind(job.due?.milliseconds)
            try row.bind(job.options.expiry?.at.milliseconds)
            try row.bind(job.options.expiry?.elapsed.milliseconds)
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
    static func updateJob(_ db: Database, _ job: Job, at now: Moment) throws {
        try db.with(
            """
            UPDATE job SET phase = ?, run_at = ?, due = ?, attempt = ?, failures = ?, lease = ?, crashes = ?, \
            started_at = ?, finished_at = ?, ended = ?, last_event = ?, error = ?, layers = ?, reports = ? WHERE key = ?
            """
        ) { row in
            try row.bind(phase(job.state))
            try row.bind(job.runAt.milliseconds)
            try row.bind(job.due?.milliseconds)
            try row.bind(job.attempt)
            try row.bind(job.failures)
            try row.bind(job.lease.number)
            try row.bind(job.crashes)
            try row.bind(job.startedAt?.milliseconds)
            try row.bind(job.finishedAt?.milliseconds)
            try row.bind(job.finishedAt.map { _ in now.certain.milliseconds })
            try row.bind(job.lastEvent)
            try row.bind(job.error?.json)
            try row.bind(columns(job.layers).early)
            try row.bind(job.reports)
            try row.bind(job.key.value)
            try row.run()
        }
    }

    /// As ``updateJob(_:_:)``, for a job that has just got its output.
    static func completeJob(_ db: Database, _ job: Job, output: Payload, at now: Moment) throws {
        let layers = columns(job.layers)
        let (bytes, file) = columns(output)
        try db.with(
            """
            UPDATE job SET phase = ?, failures = ?, crashes = ?, finished_at = ?, ended = ?, last_event = ?, \
            error = NULL, output_type = ?, output_size = ?, output_form = ?, output_digest = ?, output_file = ?, \
            output = ?, output_encoding = ?, output_note = ?, layers_from = ?, layers_to = ?, layers = ? WHERE key = ?
            """
        ) { row in
            try row.bind(phase(job.state))
            try row.bind(job.failures)
            try row.bind(job.crashes)
            try row.bind(job.finishedAt?.milliseconds)
            try row.bind(now.certain.milliseconds)
            try row.bind(job.lastEvent)
            try row.bind(output.contentType)
            try row.bind(output.byteCount)
            try row.bind(output.form.rawValue)
            try row.bind(output.digest)
            try row.bind(file)
            try row.bind(bytes)
            try row.bind(output.contentEncoding)
            try row.bind(output.note)
            try row.bind(layers.from)
            try row.bind(layers.to)
            try row.bind(layers.early)
            try row.bind(job.key.value)
            try row.run()
        }
    }

    /// The largest key that was ever given out, as far as anybody remembers it.
    static func lastKey(_ db: Database) throws -> JobKey? {
        let statement = try db.cachedStatement(
            sql: """
                SELECT max(key) FROM (SELECT max(key) AS key FROM job UNION ALL SELECT max(job) FROM tombstone)
                """
        )
        return try Int64.fetchOne(statement).map(JobKey.init(value:))
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

    static func job(_ row: PreparedStatement, _ names: ModelNames) throws -> Job {
        let key = JobKey(value: try row.int64(0))
        guard let id = try row.uuid(1), let eventID = try row.uuid(2), let model = names.name(of: try row.int64(3))
        else { throw StoreError.corrupt(path: "job \(key.value)", reason: "an identifier is malformed") }
        let lease = Job.Lease(number: try row.int64(12))
        var job = Job(
            id: id,
            eventID: eventID,
            model: model,
            options: try options(row),
            createdAt: Timestamp(milliseconds: try row.int64(37)),
            input: try payload(row, type: 21, file: 25),
            state: try state(try row.int(4), lease, finishedAt: try row.time(15)),
            runAt: Timestamp(milliseconds: try row.int64(6)),
            due: try row.optionalInt64(38).map(Elapsed.init(milliseconds:))
        )
        job.attempt = try row.int(10)
        job.failures = try row.int(11)
        job.lease = lease
        job.crashes = try row.int(13)
        job.startedAt = try row.time(14)
        job.lastEvent = try row.int64(16)
        job.error = try row.bytes(20).map(Failure.init(json:))
        if !row.isNull(27) {
            job.output = try payload(row, type: 26, file: 30)
            job.output?.contentEncoding = try row.text(35)
            job.output?.note = try row.text(36)
        }
        job.layers = try layers(row)
        job.reports = try row.int(34)
        return job
    }

    private static func options(_ row: PreparedStatement) throws -> Job.Options {
        var options = Job.Options(maxAttempts: try row.int(9))
        options.priority = try row.int(5)
        if let at = try row.time(39), let elapsed = try row.optionalInt64(7) {
            options.expiry = Job.Expiry(at: at, elapsed: Elapsed(milliseconds: elapsed))
        }
        options.timeout = try row.optionalInt64(8).map { .milliseconds($0) }
        options.retryOf = try row.uuid(17)
        options.traceparent = try row.text(18)
        options.metadata = try row.bytes(19) ?? []
        return options
    }

    /// The five columns from `type` on, but for the last one, which is `file`: type, size, form, digest, file.
    private static func payload(_ row: PreparedStatement, type: CInt, file: CInt) throws -> Payload {
        Payload(
            content: try row.text(file).map { .file(BlobName(text: $0)) } ?? .unread,
            byteCount: try row.int(type + 1),
            contentType: try row.text(type),
            form: Payload.Form(rawValue: try row.int64(type + 2)) ?? .bytes,
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
