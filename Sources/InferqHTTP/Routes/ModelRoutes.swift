import HTTPTypes
import InferqCore
import InferqQueue
import Logging

/// `GET /v1/models`, `/v1/models/{name}`, and `POST .../pause`, `/resume`.
struct ModelRoutes: Sendable {
    let gateway: Gateway

    @Sendable func list(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try check(request)
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("results")
        writer.beginArray()
        for model in try await gateway.queue.modelFigures() { Self.write(model, to: &writer) }
        writer.endArray()
        writer.endObject()
        return .json(writer.bytes)
    }

    @Sendable func show(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try check(request)
        return .json(try await document(of: name(context)))
    }

    func setPaused(_ isPaused: Bool, _ request: Request, _ context: GatewayContext) async throws -> Response {
        try check(request)
        let name = try name(context)
        guard try await gateway.queue.setPaused(isPaused, name) else { throw APIError.noSuchModel(name) }
        context.logger.notice(isPaused ? "model paused" : "model resumed", metadata: ["model": "\(name)"])
        return .json(try await document(of: name))
    }

    private func check(_ request: Request) throws {
        guard Accept.admits("application/json", request.headers[.accept]) else {
            throw APIError.notAcceptable("application/json")
        }
        try Query(request.query).allowOnly([])
    }

    private func name(_ context: GatewayContext) throws -> String {
        let raw = String(context.parameters["name"] ?? "")
        return raw.removingPercentEscapes ?? raw
    }

    private func document(of name: String) async throws -> [UInt8] {
        guard let model = try await gateway.queue.modelFigures().first(where: { $0.name == name }) else {
            throw APIError.noSuchModel(name)
        }
        var writer = JSONWriter()
        Self.write(model, to: &writer)
        return writer.bytes
    }

    private static func write(_ model: JobQueue.ModelFigures, to writer: inout JSONWriter) {
        writer.beginObject()
        members(of: model, to: &writer)
        writer.endObject()
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
        if let age = model.oldestPending { writer.value(Double(age.milliseconds) / 1000) } else { writer.null() }
        writer.name("state")
        writer.value(model.state.rawValue)
        writer.name("since")
        if let since = model.since { writer.value(since.rfc3339) } else { writer.null() }
        writer.name("last_error")
        if let trouble = model.trouble { writer.value(trouble.text) } else { writer.null() }
        writer.name("last_error_at")
        if let trouble = model.trouble { writer.value(trouble.at.rfc3339) } else { writer.null() }
    }
}

extension String {
    /// Nil when an escape is cut or the bytes are not UTF-8.
    var removingPercentEscapes: String? {
        guard contains("%") else { return self }
        return try? Query(replacing("+", with: "%2B").replacing("&", with: "%26").replacing("=", with: "%3D")).items
            .first?.name
        // A malformed escape is a name that no model has.
    }
}
