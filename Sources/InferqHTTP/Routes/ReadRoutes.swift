import HTTPTypes
import InferqCore
import InferqQueue
import InferqStore
import NIOCore

/// Reads records, lists and bodies; cancels jobs.
struct ReadRoutes: Sendable {
    let gateway: Gateway
    var view = RecordView.native

    // MARK: One record

    @Sendable func show(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let id = try context.uuid("id")
        try request.checkAccepts("application/json")
        let query = try Query(request.query)
        try query.allowOnly(["wait"])
        let wait = try waitTime(query)
        let job = try await job(id, context, within: wait)
        let stream = try await stream(of: job)
        let tag = "W/\"\(job.lastEvent)\(stream.map { "-\($0.attempt)-\($0.byteCount)" } ?? "")\""
        let headers: HTTPFields = [.eTag: tag, .cacheControl: "no-cache"]
        if request.headers.contains(.ifNoneMatch), Self.matches(request.headers[values: .ifNoneMatch], tag) {
            return Response(status: .notModified, headers: headers)
        }
        let record = try await unlessGone(id, context) {
            try await self.record(job, for: context.caller, stream: view == .native ? stream : nil)
        }
        return .json(record, headers: headers)
    }

    /// The job as it is when it has ended or the time is over.
    private func job(_ id: UUIDv7, _ context: GatewayContext, within wait: Duration?) async throws -> Job {
        let job = try await gateway.job(id, for: context.caller)
        guard let wait, !job.status.isFinal else { return job }
        let limit = min(wait, HTTPSettings.longestWait)
        let waiting = JobWait(gateway: gateway, connection: context.connection)
        if let ended = try await waiting.end(of: id, within: limit) { return ended }
        return try await gateway.store.job(id) ?? job
    }

    private func waitTime(_ query: Query) throws(APIError) -> Duration? {
        guard let text = try query.single("wait") else { return nil }
        guard let wait = DurationText.parse(text) else {
            throw .invalid("query item wait", "it must be a duration such as \"30s\"")
        }
        return wait
    }

    /// The weak comparison of RFC 9110, section 13.1.2.
    private static func matches(_ fields: [String], _ tag: String) -> Bool {
        let opaque = tag.dropFirst(2)
        return fields.flatMap { $0.split(separator: ",") }.contains { candidate in
            let text = candidate.trimmingSpaces
            return text == "*" || text == tag || text == opaque
        }
    }

    /// The record of a job whose bodies were read as far as they are in its row.
    func record(_ job: Job, for caller: Caller) async throws -> [UInt8] {
        try await record(job, for: caller, stream: view == .native ? try await stream(of: job) : nil)
    }

    private func record(_ job: Job, for caller: Caller, stream: StreamReach?) async throws -> [UInt8] {
        var bodies = Wire.Bodies()
        if job.input.isJSON, job.input.byteCount <= Payload.inlineLimit {
            bodies.input = try await gateway.store.bytes(of: job.input)
        }
        if let output = job.output, output.form != .bytes { bodies.output = try await gateway.store.bytes(of: output) }
        let ahead = job.isDue ? try await gateway.queue.ahead(of: job, for: caller) : nil
        let record = Wire.record(gateway.store.clock.shown(job), bodies: bodies, ahead: ahead, stream: stream)
        return switch view {
        case .native: record
        case .reference: try await ReferenceRecords(gateway: gateway).record(record, of: job)
        }
    }

    /// How far the answer of a running job has come: of a call also when no byte is there; else nil.
    private func stream(of job: Job) async throws -> StreamReach? {
        guard job.status == .running else { return nil }
        let reach = try await gateway.store.reach(of: job.key)
        if let reach, reach.attempt == job.attempt { return reach }
        return job.options.call.map { _ in StreamReach(attempt: job.attempt, byteCount: 0, pieceCount: 0) }
    }

    // MARK: Bodies

    @Sendable func input(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let id = try context.uuid("id")
        try Query(request.query).allowOnly([])
        let job = try await gateway.job(id, for: context.caller)
        // A token is good for as long as its job runs.
        if context.caller === Caller.worker, job.status.isFinal { throw APIError.attemptOver(job.status) }
        return try await unlessGone(id, context) { try await body(job.input, request) }
    }

    /// Reads what a job names in files: they may be removed, along with the job, after its row was read.
    private func unlessGone<Value: Sendable>(
        _ id: UUIDv7, _ context: GatewayContext, _ read: () async throws -> Value
    ) async throws -> Value {
        do {
            return try await read()
        } catch StoreError.gone {
            throw try await gateway.missing(id, context.caller)
        }
    }

    /// The bytes as they came, with the type that they came with. A browser must not run them as a page of ours.
    private func body(_ payload: Payload, _ request: Request) async throws -> Response {
        let bytes = try await gateway.store.bytes(of: payload) ?? []
        let type = payload.contentType ?? "application/octet-stream"
        let essence = MediaType(type)?.essence ?? "application/octet-stream"
        try request.checkAccepts(essence)
        var headers = HTTPFields()
        headers[.contentType] = type
        headers[.contentEncoding] = payload.contentEncoding
        headers[.xContentTypeOptions] = "nosniff"
        headers[.contentSecurityPolicy] = "sandbox; default-src 'none'"
        headers[.cacheControl] = "no-cache"
        return Response(status: .ok, headers: headers, body: .bytes(ByteBuffer(bytes: bytes)))
    }

    // MARK: Lists

    @Sendable func list(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try request.checkAccepts("application/json")
        let query = try Query(request.query)
        try query.allowOnly(["status", "model", "created_after", "created_before", "limit", "cursor"])
        var filter = try Self.filter(query)
        filter.client = context.caller.view
        let limit = filter.limit
        filter.limit += 1
        let jobs = try await gateway.store.jobs(filter)
        let page = jobs.prefix(limit)
        let next = jobs.count > limit ? page.last.map { Cursor.text(after: $0.key) } : nil
        var writer = JSONWriter(capacity: 1024 * page.count)
        writer.beginObject()
        writer.name("results")
        writer.beginArray()
        for job in page {
            Wire.summary(
                &writer, gateway.store.clock.shown(job),
                ahead: job.isDue ? try await gateway.queue.ahead(of: job, for: context.caller) : nil
            )
        }
        writer.endArray()
        writer.name("next")
        writer.value(next)
        writer.endObject()
        var headers = HTTPFields()
        if let next {
            let kept = query.items.filter { $0.name != "cursor" }.map(\.text)
            headers[.link] = "</v1/inference?\((kept + ["cursor=\(next)"]).joined(separator: "&"))>; rel=\"next\""
        }
        return .json(writer.bytes, headers: headers)
    }

    private static func filter(_ query: Query) throws(APIError) -> JobFilter {
        var filter = JobFilter()
        for name in query.all("status") {
            guard let status = Wire.status(named: name) else {
                throw .invalid(
                    "query item status",
                    "it must be one of \(Status.allCases.map(Wire.status).joined(separator: ", "))"
                )
            }
            filter.statuses.insert(status)
        }
        filter.model = try query.single("model")
        filter.createdAfter = try time(query, "created_after")
        filter.createdBefore = try time(query, "created_before")
        if let limit = try query.number("limit", in: 1...1000) { filter.limit = limit }
        if let text = try query.single("cursor") {
            guard let key = Cursor.key(text) else {
                throw .invalid("query item cursor", "it was not issued by this gateway")
            }
            filter.before = key
        }
        return filter
    }

    private static func time(_ query: Query, _ name: String) throws(APIError) -> Timestamp? {
        guard let text = try query.single(name) else { return nil }
        guard let time = Timestamp(rfc3339: text) else {
            throw .notATime("query item \(name)", text)
        }
        return time
    }

    /// Where a page ended, as text that needs no escaping in a URL.
    enum Cursor {
        static func text(after key: JobKey) -> String {
            "j" + String(key.value, radix: 36)
        }

        static func key(_ text: String) -> JobKey? {
            guard text.utf8.first == UInt8(ascii: "j"), let value = Int64(text.dropFirst(), radix: 36), value > 0,
                text == Self.text(after: JobKey(value: value))
            else { return nil }
            return JobKey(value: value)
        }
    }

    // MARK: Retry, delete, cancel

    @Sendable func retry(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let id = try context.uuid("id")
        try Query(request.query).allowOnly([])
        try request.checkAccepts("application/json")
        try await gateway.checkMayChange(id, context)
        try await gateway.checkMayRepeat(id, context.caller)
        do {
            let retry = { try await gateway.queue.retry(id, by: context.caller) }
            guard let job = try await unlessGone(id, context, retry) else {
                throw try await gateway.missing(id, context.caller)
            }
            context.note("job retried", id)
            // As it was stored, even if a worker has it by now; only the bytes of its input are read again.
            var bodies = Wire.Bodies()
            if job.input.isJSON, job.input.byteCount <= Payload.inlineLimit,
                let stored = try await gateway.store.job(job.id)
            {
                bodies.input = try await gateway.store.bytes(of: stored.input)
            }
            let record = Wire.record(job, bodies: bodies, ahead: gateway.queue.aheadOfNewest(job, for: context.caller))
            return .json(record, status: .accepted, headers: [.location: "/v1/inference/\(job.id)"])
        } catch let error as WrongState {
            throw APIError.wrongState(id, error.status, "retried")
        } catch let refusal as JobQueue.Refusal {
            throw APIError.refused(refusal, model: try await gateway.head(id, for: context.caller).model)
        }
    }

    @Sendable func delete(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let id = try context.uuid("id")
        try Query(request.query).allowOnly([])
        try await gateway.checkMayChange(id, context)
        do {
            guard try await gateway.queue.delete(id) else { throw try await gateway.missing(id, context.caller) }
            context.note("job deleted", id)
            return Response(status: .noContent)
        } catch let error as WrongState {
            throw APIError.wrongState(id, error.status, "deleted")
        }
    }

    @Sendable func cancel(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let id = try context.uuid("id")
        try Query(request.query).allowOnly([])
        try request.checkAccepts("application/json")
        try await gateway.checkMayChange(id, context)
        guard try await gateway.queue.cancel(id) != nil else { throw try await gateway.missing(id, context.caller) }
        context.note("job cancelled", id)
        // Anyone who may cancel it gets its record, also where it is another client's.
        guard let job = try await gateway.store.job(id) else { throw try await gateway.missing(id, context.caller) }
        return .json(try await unlessGone(id, context) { try await record(job, for: context.caller) })
    }
}
