import HTTPTypes
import InferqCore
import InferqQueue
import Logging

/// `GET /v1/models`, `/v1/models/{name}`, and `POST .../pause`, `/resume`: the figures of the models, and what clients
/// of OpenAI look for.
struct ModelRoutes: Sendable {
    let gateway: Gateway

    @Sendable func list(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try check(request)
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("results")
        writer.beginArray()
        for model in try await gateway.queue.modelFigures(for: context.caller) {
            writer.beginObject()
            Self.members(of: model, to: &writer)
            writer.endObject()
        }
        writer.endArray()
        writer.name("object")
        writer.value("list")
        writer.name("data")
        writer.beginArray()
        var written: Set<String> = []
        for name in gateway.queue.models.flatMap(\.literalNames) where written.insert(name).inserted {
            writer.beginObject()
            writeEntry(name, to: &writer)
            writer.endObject()
        }
        writer.endArray()
        writer.endObject()
        return .json(writer.bytes)
    }

    @Sendable func show(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try check(request)
        return .json(try await document(of: name(context), for: context.caller))
    }

    func setPaused(_ isPaused: Bool, _ request: Request, _ context: GatewayContext) async throws -> Response {
        try check(request)
        let name = try name(context)
        guard try await gateway.queue.setPaused(isPaused, name) else { throw APIError.noSuchModel(name) }
        context.logger.notice(
            isPaused ? "model paused" : "model resumed", metadata: context.who.merging(["model": "\(name)"]) { $1 })
        return .json(try await document(of: name, for: context.caller))
    }

    private func check(_ request: Request) throws {
        try request.checkAccepts("application/json")
        try Query(request.query).allowOnly([])
    }

    private func name(_ context: GatewayContext) throws -> String {
        String(context.parameters["name"] ?? "").decodingEscapes
    }

    /// - Parameter name: that of a model's table, or another by which clients call it.
    private func document(of name: String, for caller: Caller) async throws -> [UInt8] {
        let table = gateway.queue.models.named(name).first?.name ?? name
        guard let model = try await gateway.queue.modelFigures(for: caller).first(where: { $0.name == table }) else {
            throw APIError.noSuchModel(name)
        }
        var writer = JSONWriter()
        writer.beginObject()
        Self.members(of: model, to: &writer)
        writeEntry(name, to: &writer)
        writer.endObject()
        return writer.bytes
    }

    /// The members of OpenAI's `Model`.
    private func writeEntry(_ name: String, to writer: inout JSONWriter) {
        writer.name("id")
        writer.value(name)
        writer.name("object")
        writer.value("model")
        writer.name("created")
        // No one knows when a model was made.
        writer.value(gateway.startedAt.milliseconds / 1000)
        writer.name("owned_by")
        writer.value("inferq")
    }

    static func members(of model: JobQueue.ModelFigures, to writer: inout JSONWriter) {
        writer.name("name")
        writer.value(model.name)
        writer.name("concurrency")
        writer.value(model.concurrency)
        writer.name("running")
        writer.value(model.running)
        writer.name("pending")
        writer.value(model.pending)
        writer.name("oldest_pending_seconds")
        writer.value(model.oldestPending.map { Double($0.milliseconds) / 1000 })
        writer.name("state")
        writer.value(model.state.rawValue)
        writer.name("since")
        writer.value(model.since)
        writer.name("last_error")
        writer.value(model.trouble?.text)
        writer.name("last_error_at")
        writer.value(model.trouble?.at)
    }
}
