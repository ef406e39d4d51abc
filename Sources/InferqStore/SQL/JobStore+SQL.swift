import GRDB
import InferqCore

/// Every statement, one named function each, bound parameters only.
enum SQL {}

/// The columns of a job, in the order that they are read in.
enum JobColumn: CInt, NamedColumn {
    // What a submission says, and what follows from it.
    case key, id, eventID, model, client, phase, createdAt, runAt, due, expiresAt, expiry, maxAttempts, lastEvent
    case priority, timeout, retryOf, traceparent, metadata, call, batch, line
    case inputType, inputSize, inputJSON, inputDigest, inputFile
    // What an attempt changes.
    case attempt, failures, lease, crashes, startedAt, finishedAt, error, reports
    case outputType, outputSize, outputForm, outputDigest, outputFile, outputEncoding, outputNote, outputHead
    case outputAttempt, streamed
    case layersFrom, layersTo, layers
    // Bodies, which most readers leave out.
    case input, output
    // What only statements look at.
    case ended
}

// MARK: Jobs

extension SQL {
    /// The columns of a job without its bodies.
    static let head = JobColumn.allCases.prefix { $0 != .input }.names

    private static let insertion: SQLText<JobColumn> = {
        let columns = JobColumn.allCases.prefix { $0 != .attempt } + [JobColumn.input]
        return SQLText("INSERT INTO job (\(columns.names)) VALUES (\(columns.parameters))")
    }()

    private static let selection = SQLText<JobColumn>("SELECT \(head) FROM job WHERE key = ?")
    private static let wholeSelection = SQLText<JobColumn>("SELECT \(head), input, output FROM job WHERE key = ?")

    private static let update = updating([
        .phase, .runAt, .due, .attempt, .failures, .lease, .crashes, .startedAt, .finishedAt, .ended, .lastEvent,
        .error, .layers, .reports, .streamed,
    ])

    private static let completion = updating([
        .phase, .failures, .crashes, .finishedAt, .ended, .lastEvent, .error, .outputType, .outputSize, .outputForm,
        .outputDigest, .outputFile, .output, .outputEncoding, .outputNote, .outputHead, .outputAttempt,
        .streamed, .layersFrom, .layersTo, .layers,
    ])

    private static func updating(_ columns: [JobColumn]) -> SQLText<JobColumn> {
        SQLText("UPDATE job SET \(columns.assignments) WHERE \([JobColumn.key].assignments)")
    }

    static func insertJob(_ db: Database, _ job: Job, model: Int64, client: Int64?) throws {
        let (input, file) = columns(job.input)
        let inRow = try store(db, input, .input, of: job.key)
        try db.with(insertion) { row in
            try row.bind(.key, job.key)
            try row.bind(.id, job.id)
            try row.bind(.eventID, job.eventID)
            try row.bind(.model, model)
            try row.bind(.client, client)
            try row.bind(.phase, phase(job.state))
            try row.bind(.createdAt, job.createdAt)
            try row.bind(.runAt, job.runAt)
            try row.bind(.due, job.due)
            try row.bind(.expiresAt, job.expiry?.at)
            try row.bind(.expiry, job.expiry?.elapsed)
            try row.bind(.maxAttempts, job.maxAttempts)
            try row.bind(.lastEvent, job.lastEvent)
            try bind(job.options, &row)
            try row.bind(.inputType, job.input.contentType)
            try row.bind(.inputSize, job.input.byteCount)
            try row.bind(.inputJSON, job.input.isJSON ? 1 : 0)
            try row.bind(.inputDigest, job.input.digest)
            try row.bind(.inputFile, file)
            try row.bind(.input, inRow)
            try row.run()
        }
    }

    /// The job with its bodies unread, or nil.
    static func selectJob(_ db: Database, _ key: JobKey, _ names: StoredNames) throws -> Job? {
        try db.with(selection) { row in
            try row.bind(key)
            return try row.step() ? try job(row, names) : nil
        }
    }

    /// The job with its input, and its output if it has one, or nil.
    static func selectWholeJob(_ db: Database, _ key: JobKey, _ names: StoredNames) throws -> Job? {
        try db.with(wholeSelection) { row in
            try row.bind(key)
            guard try row.step() else { return nil }
            var job = try job(row, names)
            if let input = try bytes(db, of: job.input, inRow: row.bytes(.input), .input, of: key) {
                job.input.content = .inline(input)
            }
            if let output = try bytes(db, of: job.output, inRow: row.bytes(.output), .output, of: key) {
                job.output?.content = .inline(output)
            }
            return job
        }
    }

    /// Writes everything of a job that a transition can have changed, but for a new output.
    static func updateJob(_ db: Database, _ job: Job, at now: Moment) throws {
        try db.with(update) { row in
            try row.bind(.key, job.key)
            try row.bind(.phase, phase(job.state))
            try row.bind(.runAt, job.runAt)
            try row.bind(.due, job.due)
            try row.bind(.attempt, job.attempt)
            try row.bind(.failures, job.failures)
            try row.bind(.lease, job.lease.number)
            try row.bind(.crashes, job.crashes)
            try row.bind(.startedAt, job.startedAt)
            try row.bind(.finishedAt, job.finishedAt)
            try row.bind(.ended, job.finishedAt.map { _ in now.certain })
            try row.bind(.lastEvent, job.lastEvent)
            try row.bind(.error, job.error?.json)
            try row.bind(.layers, columns(job.layers).early)
            try row.bind(.reports, job.reports)
            try row.bind(.streamed, job.streamed)
            try row.run()
        }
    }

    /// As ``updateJob(_:_:at:)``, for a job that has just got its output.
    static func completeJob(_ db: Database, _ job: Job, output: Payload, at now: Moment) throws {
        let (bytes, file) = columns(output)
        let inRow = try store(db, bytes, .output, of: job.key)
        try db.with(completion) { row in
            try row.bind(.key, job.key)
            try row.bind(.phase, phase(job.state))
            try row.bind(.failures, job.failures)
            try row.bind(.crashes, job.crashes)
            try row.bind(.finishedAt, job.finishedAt)
            try row.bind(.ended, now.certain)
            try row.bind(.lastEvent, job.lastEvent)
            try row.bind(.error, job.error?.json)
            try row.bind(.outputType, output.contentType)
            try row.bind(.outputSize, output.byteCount)
            try row.bind(.outputForm, output.form.rawValue)
            try row.bind(.outputDigest, output.digest)
            try row.bind(.outputFile, file)
            try row.bind(.output, inRow)
            try row.bind(.outputEncoding, output.contentEncoding)
            try row.bind(.outputNote, output.note)
            try row.bind(.outputHead, output.head?.json)
            try row.bind(.outputAttempt, attempt(output))
            try row.bind(.streamed, job.streamed)
            let layers = columns(job.layers)
            try row.bind(.layersFrom, layers.from)
            try row.bind(.layersTo, layers.to)
            try row.bind(.layers, layers.early)
            try row.run()
        }
    }

    /// The largest key that was ever given out, as far as anybody remembers it.
    static func lastKey(_ db: Database) throws -> JobKey? {
        let statement = try db.cachedStatement(
            sql: """
                SELECT max(key) FROM (SELECT max(key) AS key FROM job UNION ALL SELECT max(job) FROM tombstone \
                UNION ALL SELECT max(key) FROM upload UNION ALL SELECT max(key) FROM batch)
                """
        )
        return try Int64.fetchOne(statement).map(JobKey.init(value:))
    }

    /// Whether a row names this file.
    static func isNamed(_ db: Database, _ blob: BlobName) throws -> Bool {
        let statement = try db.cachedStatement(
            sql: """
                SELECT EXISTS (SELECT 1 FROM job WHERE input_file = ?1) \
                OR EXISTS (SELECT 1 FROM job WHERE output_file = ?1) \
                OR EXISTS (SELECT 1 FROM upload WHERE blob = ?1)
                """
        )
        return try Bool.fetchOne(statement, arguments: [blob.text]) ?? false
    }
}

// MARK: Options

extension SQL {
    private static func bind(_ options: Job.Options, _ row: inout PreparedStatement<JobColumn>) throws {
        try row.bind(.priority, options.priority)
        try row.bind(.timeout, options.timeout)
        try row.bind(.retryOf, options.retryOf)
        try row.bind(.traceparent, options.traceparent)
        try row.bind(.metadata, options.metadata.isEmpty ? nil : options.metadata)
        try row.bind(.call, options.call?.json)
        try row.bind(.batch, options.batch?.batch)
        try row.bind(.line, options.batch?.line)
    }

    private static func options(_ row: PreparedStatement<JobColumn>, _ names: StoredNames) throws -> Job.Options {
        var options = Job.Options()
        options.priority = try row.int(.priority)
        options.timeout = try row.optionalInt64(.timeout).map { .milliseconds($0) }
        options.retryOf = try row.uuid(.retryOf)
        options.traceparent = try row.text(.traceparent)
        options.metadata = try row.bytes(.metadata) ?? []
        options.call = try row.bytes(.call).flatMap(Call.init(json:))
        if let batch = try row.optionalInt64(.batch), let line = try row.optionalInt(.line) {
            options.batch = BatchPlace(batch: JobKey(value: batch), line: line)
        }
        options.client = try row.optionalInt64(.client).flatMap(names.clients.name)
        return options
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
        case .pieces, .unread: (nil, nil)
        }
    }

    private static func attempt(_ payload: Payload) -> Int? {
        if case .pieces(let run) = payload.content { run.attempt } else { nil }
    }

    private static func columns(_ layers: PredictedLayers) -> (from: Int?, to: Int?, early: [UInt8]?) {
        switch layers {
        case .none: (nil, nil, nil)
        case .array(let range): (range.lowerBound, range.upperBound, nil)
        // An object is told from an array by what stands in the third column; nothing more need be stored.
        case .object(let range): (range.lowerBound, range.upperBound, Array("{}".utf8))
        case .early(let bytes): (nil, nil, bytes)
        }
    }

    static func job(_ row: PreparedStatement<JobColumn>, _ names: StoredNames) throws -> Job {
        let key = JobKey(value: try row.int64(.key))
        guard let id = try row.uuid(.id), let eventID = try row.uuid(.eventID),
            let model = names.models.name(of: try row.int64(.model))
        else { throw StoreError.corrupt(path: "job \(key.value)", reason: "an identifier is malformed") }
        let lease = Job.Lease(number: try row.int64(.lease))
        var job = Job(
            id: id,
            eventID: eventID,
            model: model,
            options: try options(row, names),
            maxAttempts: try row.int(.maxAttempts),
            expiry: try expiry(row),
            createdAt: Timestamp(milliseconds: try row.int64(.createdAt)),
            input: Payload(
                content: content(file: try row.text(.inputFile)),
                byteCount: try row.int(.inputSize),
                contentType: try row.text(.inputType),
                form: Payload.Form(rawValue: try row.int64(.inputJSON)) ?? .bytes,
                digest: try row.bytes(.inputDigest)
            ),
            state: try state(try row.int(.phase), lease, finishedAt: try row.time(.finishedAt)),
            runAt: Timestamp(milliseconds: try row.int64(.runAt)),
            due: try row.elapsed(.due)
        )
        job.attempt = try row.int(.attempt)
        job.failures = try row.int(.failures)
        job.lease = lease
        job.crashes = try row.int(.crashes)
        job.startedAt = try row.time(.startedAt)
        job.lastEvent = try row.int64(.lastEvent)
        job.error = try row.bytes(.error).map(Failure.init(json:))
        if !row.isNull(.outputSize) {
            let run = try row.optionalInt(.outputAttempt).map { PieceRun(job: key, attempt: $0) }
            job.output = Payload(
                content: try run.map { .pieces($0) } ?? content(file: try row.text(.outputFile)),
                byteCount: try row.int(.outputSize),
                contentType: try row.text(.outputType),
                form: Payload.Form(rawValue: try row.int64(.outputForm)) ?? .bytes,
                digest: try row.bytes(.outputDigest)
            )
            job.output?.contentEncoding = try row.text(.outputEncoding)
            job.output?.note = try row.text(.outputNote)
            job.output?.head = try row.bytes(.outputHead).flatMap(AnswerHead.init(json:))
        }
        job.layers = try layers(row)
        job.reports = try row.int(.reports)
        job.streamed = try row.int(.streamed)
        return job
    }

    private static func expiry(_ row: PreparedStatement<JobColumn>) throws -> Job.Expiry? {
        guard let at = try row.time(.expiresAt), let elapsed = try row.elapsed(.expiry) else { return nil }
        return Job.Expiry(at: at, elapsed: elapsed)
    }

    private static func content(file: String?) -> Payload.Content {
        file.map { .file(BlobName(text: $0)) } ?? .unread
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

    private static func layers(_ row: PreparedStatement<JobColumn>) throws -> PredictedLayers {
        let early = try row.bytes(.layers)
        guard let from = try row.optionalInt(.layersFrom), let to = try row.optionalInt(.layersTo), from <= to,
            from >= 0
        else { return early.map { .early($0) } ?? .none }
        return early == nil ? .array(from..<to) : .object(from..<to)
    }
}
