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
        Self.write(gateway.peers.workers, for: context.caller, to: &writer)
        writer.endObject()
        return .json(writer.bytes)
    }

    /// - Parameter caller: sees which jobs run there, or none of them.
    static func write(_ workers: [Peers.Worker], for caller: Caller, to writer: inout JSONWriter) {
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
                writer.name(escaping: model)
                writer.value(slots)
            }
            writer.endObject()
            writer.name("away")
            writer.beginObject()
            for (model, server) in worker.away.sorted(by: { $0.key < $1.key }) {
                writer.name(escaping: model)
                writer.beginObject()
                writer.name("state")
                writer.value(server.state.rawValue)
                writer.name("since")
                writer.value(server.since)
                writer.name("last_error")
                writer.value(server.trouble?.text)
                writer.endObject()
            }
            writer.endObject()
            writer.name("jobs")
            writer.beginArray()
            for job in worker.jobs where caller.view == nil { writer.value(job) }
            writer.endArray()
            writer.endObject()
        }
        writer.endArray()
    }

    // MARK: Large answers

    @Sendable func handIn(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try Query(request.query).allowOnly([])
        let (remoteAttempts, attempt) = try await attempt(request, context)
        let (model, claim) = (attempt.settings, attempt.claim)
        let reader = BodyReader(gateway: gateway, context: context)
        let limit = BodyLimit(byteCount: model.maxAnswer, setting: "models.\(model.name).max_answer")
        let isStored = try await reader.collect(request, limit: limit) { bytes in
            let keeper = AnswerKeeper(store: gateway.store)
            let outcome = try await keeper.outcome(Reply.Answer(bytes, Self.head(request)), model)
            return await remoteAttempts.finish(claim.job.key, claim.lease, with: outcome)
        }
        guard isStored else { throw APIError.storeFailed("the answer could not be stored") }
        return Response(status: .noContent)
    }

    /// A piece of an answer that comes piece by piece: it is on disk when this returns.
    @Sendable func handInPiece(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let (remoteAttempts, attempt) = try await attempt(request, context)
        let query = try Query(request.query)
        try query.allowOnly(["piece", "from"])
        guard let number = try query.number("piece", in: 1...Int.max),
            let start = try query.number("from", in: 0...Int.max)
        else { throw APIError.invalid("query", "it must name the piece and the byte that it begins with") }
        let claim = attempt.claim
        let reader = BodyReader(gateway: gateway, context: context)
        let limit = BodyLimit(byteCount: Piece.limit, setting: "of a piece")
        try await reader.collect(request, limit: limit) { bytes in
            guard !bytes.isEmpty else { throw APIError.invalid("body", "a piece has at least one byte") }
            guard start <= attempt.settings.maxAnswer - bytes.count else {
                throw APIError.bodyTooLarge(
                    limit: attempt.settings.maxAnswer, setting: "models.\(attempt.settings.name).max_answer")
            }
            if number == 1 { await remoteAttempts.show(claim.job.key, claim.lease) }
            let piece = Piece(
                number: number, start: start, bytes: bytes, head: number == 1 ? Self.head(request) : nil)
            do {
                try await remoteAttempts.pieces.commit(piece, of: claim)
            } catch PieceRefusal.gap(let end) {
                throw APIError.invalid(
                    "query item from", "the answer has \(end) bytes so far, and the piece must follow them")
            } catch PieceRefusal.attemptOver {
                throw APIError.attemptOver(try await gateway.store.head(claim.job.id)?.status ?? .cancelled)
            }
        }
        return Response(status: .noContent)
    }

    /// What the head of the model server's answer said, as the worker has it.
    private static func head(_ request: Request) -> StreamHead {
        let answer = request.headers[.answerHead].flatMap { AnswerHead(json: Array($0.utf8)) }
        return StreamHead(
            contentType: request.headers[.contentType], contentEncoding: request.headers[.contentEncoding],
            answer: answer.flatMap { $0.isWellFormed ? $0 : nil })
    }

    /// The attempt whose token the request bears.
    private func attempt(
        _ request: Request, _ context: GatewayContext
    ) async throws -> (RemoteAttempts, RemoteAttempts.Attempt) {
        let id = try context.uuid("id")
        guard let token = request.notifyToken(gateway.store.signingKey) else { throw APIError.wrongToken }
        guard let job = try await gateway.store.head(id) else { throw try await gateway.missing(id, nil) }
        guard job.key == token.job else { throw APIError.wrongToken }
        guard let remoteAttempts = gateway.remoteAttempts,
            let attempt = remoteAttempts.attempt(of: token.job, token.lease)
        else { throw APIError.attemptOver(job.status) }
        return (remoteAttempts, attempt)
    }
}
