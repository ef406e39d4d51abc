import HTTPTypes
import InferqCore
import InferqQueue
import InferqStore

/// `/v2/inference` and what belongs to it: jobs for the reference gateway's own clients.
struct ReferenceRoutes: Sendable {
    private let gateway: Gateway
    private let reads: ReadRoutes
    private let records: ReferenceRecords
    private let events: NotifyRoute

    init(gateway: Gateway) {
        self.gateway = gateway
        reads = ReadRoutes(gateway: gateway, view: .reference)
        records = ReferenceRecords(gateway: gateway)
        events = NotifyRoute(
            gateway: gateway, view: .reference, sharedFrames: SharedFrames(hub: gateway.queue.hub)
        )
    }

    /// For the table of routes.
    var rows: [Route] {
        let models = ReferenceModels(gateway: gateway)
        return [
            Route(.post, "/v2/inference", .submitting, submit),
            Route(.get, "/v2/inference", .reading, list),
            Route(.get, "/v2/inference/{id}", .reading, reads.show),
            Route(.delete, "/v2/inference/{id}", .cancelling, delete),
            Route(.post, "/v2/inference/{id}/cancel", .cancelling, cancel),
            Route(.get, "/v2/inference/{id}/tasks", .reading, tasks),
            Route(.get, "/v2/async/notify/{event_id}", .listening, kind: .stream, events.listen),
            Route(.get, "/v2/notifications/{event_id}", .reading, ReferenceHistory(gateway: gateway).list),
            Route(.get, "/v2/models", .looking, models.list),
            Route(.get, "/v2/models/{model_id}", .looking, models.show),
        ]
    }

    // MARK: Submit

    @Sendable private func submit(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let reader = BodyReader(gateway: gateway, context: context)
        try reader.checkHead(request)
        try request.checkAccepts("application/json")
        let submits = SubmitRoutes(gateway: gateway)
        let submission = try await submits.submission(request, reader, .reference)
        switch try await submits.store(submission, context) {
        case .stored(let change):
            let job = change.job
            // As it was stored, even if a worker has it by now.
            let facts = ReferenceWire.Facts(
                job: job, updatedAt: job.createdAt, request: try await members(of: submission.input)
            )
            return created(ReferenceWire.record(submits.record(job, submission.input, context.caller), facts), job)
        case .replayed(let id):
            let job = try await gateway.job(id, for: context.caller)
            var response = created(try await reads.record(job, for: context.caller), job)
            response.headers[.idempotencyReplayed] = "true"
            return response
        }
    }

    private func members(of input: Payload) async throws -> RequestMembers {
        do {
            return try await gateway.store.members(of: input)
        } catch StoreError.gone {
            // Another client has deleted the job.
            return .none
        }
    }

    private func created(_ record: [UInt8], _ job: Job) -> Response {
        .json(record, status: .created, headers: [.location: "/v2/inference/\(job.id)"])
    }

    // MARK: Lists

    /// Bytes of a list after which its records are small.
    private static let sizeOfList = 8 << 20

    @Sendable private func list(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try request.checkAccepts("application/json")
        let query = try Query(request.query)
        try query.allowOnly(["limit", "skip", "model_id", "saved", "created_by", "tune_id", "location"])
        let span = try PageSpan(query)
        var model: String?
        if let id = try query.single("model_id"), !id.isEmpty {
            let names = try await gateway.store.modelRows().map(\.name)
            // A model that there is not has an empty list.
            model = ModelID.name(id, among: names) ?? ""
        }
        let page = try await gateway.store.page(
            of: model, client: context.caller.view, skip: span.skip, limit: span.limit)
        var writer = JSONWriter(capacity: 2048 * page.keys.count)
        writer.beginObject()
        writer.name("results")
        writer.beginArray()
        for key in page.keys {
            let size: ReferenceRecords.Size = writer.bytes.count < Self.sizeOfList ? .whole : .small
            if let entry = try await entry(key, size, context.caller) { writer.raw(entry) }
        }
        writer.endArray()
        writer.name("total_records")
        writer.value(page.total)
        writer.endObject()
        return .json(writer.bytes)
    }

    /// Nil when the job was removed after the page was put together.
    private func entry(
        _ key: JobKey, _ size: ReferenceRecords.Size, _ caller: Caller
    ) async throws -> [UInt8]? {
        guard let job = try await gateway.store.job(at: key) else { return nil }
        do {
            return try await records.entry(job, size, for: caller)
        } catch StoreError.gone {
            return nil
        }
    }

    /// Pipelines have tasks; a job here has none.
    @Sendable private func tasks(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let id = try context.uuid("id")
        try request.checkAccepts("application/json")
        try Query(request.query).allowOnly([])
        let job = try await gateway.head(id, for: context.caller)
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("inference_id")
        writer.value(job.id)
        writer.name("status")
        writer.value(ReferenceWire.status(job.status))
        writer.name("tasks")
        writer.beginArray()
        writer.endArray()
        writer.endObject()
        return .json(writer.bytes)
    }

    // MARK: Cancel, delete

    @Sendable private func cancel(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let response = try await reads.cancel(request, context)
        return Response(status: .accepted, headers: response.headers, body: response.body)
    }

    /// Of a job that has not ended, this is a cancel too; listeners hear of it before its events are gone.
    @Sendable private func delete(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let id = try context.uuid("id")
        try Query(request.query).allowOnly([])
        try await gateway.checkMayChange(id, context)
        guard try await gateway.queue.cancel(id) != nil else { throw try await gateway.missing(id, context.caller) }
        await listenersLeave(id.key, within: context.settings.listenerTimeout)
        guard try await gateway.queue.delete(id) else { throw try await gateway.missing(id, context.caller) }
        context.note("job deleted", id)
        return Response(status: .noContent)
    }

    /// Waits until those who listen to an ended job have its last event, or `limit` has passed: then the ones that are
    /// left do not read, and are cut off as well.
    private func listenersLeave(_ key: JobKey, within limit: Duration) async {
        let bell = Bell()
        gateway.queue.hub.whenQuiet(key, ring: bell)
        _ = await gateway.wheel.wait(at: bell, atMost: limit)
    }
}
