import Crypto
import GRDB
package import InferqCore

/// Which jobs a list shows.
package struct JobFilter: Sendable, Equatable {
    /// Empty: all.
    package var statuses: Set<Status> = []
    package var model: String?
    /// Whose jobs; nil: everyone's.
    package var client: String?
    package var createdAfter: Timestamp?
    package var createdBefore: Timestamp?
    /// Only jobs older than this one: where the page before ended.
    package var before: JobKey?
    /// 1 or more.
    package var limit = 25

    package init() {}

    /// Submission times, both ends left out; nil: no matter when.
    fileprivate var created: (after: Int64, before: Int64)? {
        guard createdAfter != nil || createdBefore != nil else { return nil }
        return (createdAfter?.milliseconds ?? .min, createdBefore?.milliseconds ?? .max)
    }
}

extension JobStore {
    /// The job with this `id`, its bodies read as far as they are in its row; nil when there is none.
    package func job(_ id: UUIDv7) async throws -> Job? {
        let job = try await reads.perform { [names] db in try SQL.selectWholeJob(db, id.key, names) }
        return job?.id == id ? job : nil
    }

    /// The job with this `id`, its bodies unread; nil when there is none.
    package func head(_ id: UUIDv7) async throws -> Job? {
        let job = try await reads.perform { [names] db in try SQL.selectJob(db, id.key, names) }
        return job?.id == id ? job : nil
    }

    /// Whose events this `event_id` names; nil when there is no such job.
    package func course(of eventID: UUIDv7) async throws -> JobCourse? {
        try await course(eventID) { $0.eventID == eventID }
    }

    /// As ``course(of:)``, for listeners: a job's `id` will do as well.
    package func course(named id: UUIDv7) async throws -> JobCourse? {
        try await course(id) { $0.eventID == id || $0.id == id }
    }

    private func course(_ id: UUIDv7, _ isMeant: @escaping @Sendable (Job) -> Bool) async throws -> JobCourse? {
        try await reads.perform { [names] db in
            guard let job = try SQL.selectJob(db, id.key, names), isMeant(job) else { return nil }
            return JobCourse(job, lastPiece: job.status.isFinal ? 0 : try SQL.newestPieceID(db, of: id.key) ?? 0)
        }
    }

    /// The events of a job after `id`, in order, with the job as it was when they were read.
    ///
    /// The job's bodies are read along with its final event.
    ///
    /// - Parameters:
    ///   - limit: events at most.
    ///   - byteLimit: once reports have so many bytes, no further event is read.
    package func history(
        _ key: JobKey,
        after id: Int64,
        limit: Int,
        byteLimit: Int = .max
    ) async throws -> JobHistory? {
        try await reads.perform { [names] db in
            let events = try SQL.events(db, of: key, after: id, limit: limit, byteLimit: byteLimit)
            let found =
                try events.last?.isLast == true
                ? SQL.selectWholeJob(db, key, names) : SQL.selectJob(db, key, names)
            return found.map { JobHistory(job: $0, events: events) }
        }
    }

    /// How many due jobs of its model and priority are older than this one.
    ///
    /// - Parameters:
    ///   - client: whose jobs; nil: everyone's.
    ///   - limit: the most that are looked at.
    /// - Returns: nil when there are as many to look at as that, or more.
    package func older(than job: Job, of client: String? = nil, limit: Int) async throws -> Int? {
        guard let model = names.models.id(of: job.model) else { return 0 }
        let owner = client.flatMap(names.clients.id)
        guard client == nil || owner != nil else { return 0 }
        return try await reads.perform { db in
            guard let owner else {
                return try SQL.olderDueJobs(
                    db, model: model, priority: job.options.priority, key: job.key, limit: limit)
            }
            return try SQL.olderDueJobs(
                db, of: owner, model: model, priority: job.options.priority, key: job.key, limit: limit)
        }
    }

    /// Jobs, newest first, their bodies unread. One more than the limit may be asked for to see whether there are more.
    package func jobs(_ filter: JobFilter) async throws -> [Job] {
        let runs = ids.keys(after: filter.createdAfter, before: filter.createdBefore)
        return try await scan { [names] db in
            var jobs: [Job] = []
            // More than one only since a wall clock was set back: see IDGenerator.
            for run in runs where jobs.count < filter.limit {
                let end = filter.before.map { min($0, run.upperBound) } ?? run.upperBound
                guard run.lowerBound < end else { continue }
                let span = SQL.Span(
                    keys: run.lowerBound..<end, created: filter.created, limit: filter.limit - jobs.count
                )
                jobs += try Self.jobs(db, filter, span, names)
            }
            return jobs
        }
    }

    private static func jobs(
        _ db: Database,
        _ filter: JobFilter,
        _ span: SQL.Span,
        _ names: StoredNames
    ) throws -> [Job] {
        guard filter.model != nil || filter.client != nil || !filter.statuses.isEmpty else {
            return try SQL.listedJobs(db, span, names)
        }
        let client = filter.client.map(names.clients.id)
        // One that has had no job.
        if case .some(nil) = client { return [] }
        let statuses = filter.statuses.isEmpty ? Set(Status.allCases) : filter.statuses
        var keys: [JobKey] = []
        for model in names.models.all where filter.model == nil || model.name == filter.model {
            for phase in statuses.flatMap(SQL.phases(of:)) {
                keys += try SQL.listedKeys(db, model: model.id, client: client ?? nil, phase: phase, span)
            }
        }
        return try keys.sorted(by: >).prefix(span.limit).compactMap { try SQL.selectJob(db, $0, names) }
    }

    /// How long it is until a job becomes due or expires; nil when none will.
    package func nextDeadline(from now: Moment) async throws -> Duration? {
        try await scan { db in try SQL.nextDeadline(db, from: now) }
    }

    /// A read that may take long, so that it holds no short one up.
    ///
    /// - Throws: ``StoreError``.
    func scan<Value: Sendable>(_ read: @escaping @Sendable (Database) throws -> Value) async throws -> Value {
        do {
            return try await pool.read(read)
        } catch {
            throw StoreError.ofRead(error)
        }
    }

    /// Reads on the calling thread, before the service runs.
    ///
    /// - Throws: ``StoreError``.
    func readAtStart<Value>(_ read: (Database) throws -> Value) throws -> Value {
        do {
            return try pool.read(read)
        } catch let error as DatabaseError {
            throw StoreOpening.explained(error, path: pool.path)
        }
    }

    /// All bytes of a payload, from the row or from its file. Nil when they were not read with the job.
    ///
    /// - Throws: ``StoreError``, ``StoreError/damaged(reason:)`` when they are not those that were stored, or
    ///   ``StoreError/gone`` when the job was removed meanwhile.
    package func bytes(of payload: Payload) async throws -> [UInt8]? {
        switch payload.content {
        case .inline(let bytes): return bytes
        case .file(let name):
            let bytes = try await whileNamed(name) { try await self.blobs.read(name) }
            guard bytes.count == payload.byteCount,
                payload.digest.map({ $0.elementsEqual(SHA256.hash(data: bytes)) }) ?? true
            else { throw StoreError.damaged(reason: "the file of a body does not match what was written") }
            return bytes
        case .pieces(let run): return try await bytes(of: run, byteCount: payload.byteCount)
        case .unread: return nil
        }
    }

    /// Does something with a file that a row has named; the row and the file may have gone meanwhile.
    ///
    /// - Throws: ``StoreError/gone`` when the row is gone too, ``StoreError/damaged(reason:)`` when it is not.
    package func whileNamed<Value: Sendable>(_ name: BlobName, _ work: () async throws -> Value) async throws -> Value {
        do {
            return try await work()
        } catch StoreError.gone {
            guard try await reads.perform({ db in try SQL.isNamed(db, name) }) else { throw StoreError.gone }
            throw StoreError.damaged(reason: "the file of a body is missing")
        }
    }

    /// Answers once a write transaction has gone through the writer: the writer lives.
    package func ping() async throws {
        try await commits.perform(.outcome) { _ in }
    }
}

// MARK: Outputs that events show

extension JobStore {
    /// The output that the final event of a history shows; nil when it has none, or shows none.
    ///
    /// - Throws: ``StoreError``.
    package func output(shownBy history: JobHistory) async throws -> [UInt8]? {
        guard history.isAtEnd, let output = history.job.output else { return nil }
        return try await shown(output)
    }

    /// The bytes of an output; nil when it is too large to be shown in an event.
    ///
    /// - Throws: ``StoreError``.
    package func shown(_ output: Payload) async throws -> [UInt8]? {
        output.byteCount <= Wire.outputLimit ? try await bytes(of: output) : nil
    }
}
