import HTTPTypes
import InferqCore
import InferqQueue

/// `GET /v1/workers`, and `PUT /v1/inference/{id}/output`, by which a worker on another host hands in an answer that is too
/// large for Redis.
struct WorkerRoutes: Sendable {
    let gateway: Gateway

    @Sendable func list(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try request.checkAccepts("application/json")
        try Query(request.query).allowOnly([])
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("results")
        Self.write(gateway.peers.workers, to: &writer)
        writer.endObject()
        return .json(writer.bytes)
    }

    static func write(_ workers: [Peers.Worker], to writer: inout JSONWriter) {
        writer.beginArray()
        for worker in workers {
            writer.beginObject()
            writer.name("name")
            writer.value(worker.name)
            writer.name("host")
            writer.value(worker.host)
            writer.name("models")
            writer.beginArray()
            for model in worker.slots.keys.sorted() { writer.value(model) }
            writer.endArray()
            writer.name("slots")
            writer.value(worker.slots.values.reduce(0, +))
            writer.name("concurrency")
            writer.beginObject()
            for (model, slots) in worker.slots.sorted(by: { $0.key < $1.key }) {
                writer.name(model)
                writer.value(slots)
            }
            writer.endObject()
            writer.name("away")
            writer.beginObject()
            for (model, server) in worker.away.sorted(by: { $0.key < $1.key }) {
                writer.name(model)
                writer.beginObject()
                writer.name("state")
                writer.value(server.state.rawValue)
                writer.name("since")
                writer.value(server.since.rfc3339)
                writer.name("last_error")
                if let trouble = server.trouble { writer.value(trouble.text) } else { writer.null() }
                writer.endObject()
            }
            writer.endObject()
            writer.name("jobs")
            writer.beginArray()
            for job in worker.jobs { writer.value(job) }
            writer.endArray()
            writer.endObject()
        }
        writer.endArray()
    }

    // MARK: Large answers

    @Sendable func handIn(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let id = try context.uuid("id")
        try Query(request.query).allowOnly([])
        let reader = BodyReader(gateway: gateway, context: context)
        guard let token = request.headers[.notifyToken].flatMap({ NotifyToken($0, gateway.store.secret) }) else {
            throw APIError.wrongToken
        }
        guard let job = try await gateway.store.head(id) else { throw try await gateway.missing(id) }
        guard job.key == token.job else { throw APIError.wrongToken }
        guard let remoteAttempts = gateway.remoteAttempts,
            let model = remoteAttempts.attempt(of: token.job, token.lease)?.settings
        else {
            throw APIError.attemptOver(job.status)
        }
        let limit = BodyLimit(byteCount: model.maxAnswer, setting: "models.\(model.name).max_answer")
        let isStored = try await reader.collect(request, limit: limit) { bytes in
            let keeper = AnswerKeeper(store: gateway.store)
            let answer = Reply.Answer(
                bytes, contentType: request.headers[.contentType], contentEncoding: request.headers[.contentEncoding],
                head: request.headers[.answerHead].flatMap { AnswerHead(json: Array($0.utf8)) }
                    .flatMap { $0.isWellFormed ? $0 : nil }
            )
            let outcome = try await keeper.outcome(answer, model)
            return await remoteAttempts.finish(token.job, token.lease, with: outcome)
        }
        guard isStored else { throw APIError.storeFailed("the answer could not be stored") }
        return Response(status: .noContent)
    }
}
