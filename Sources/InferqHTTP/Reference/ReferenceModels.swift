import HTTPTypes
import InferqCore
import InferqQueue

/// `GET /v2/models` and `/v2/models/{model_id}`.
struct ReferenceModels: Sendable {
    private let gateway: Gateway
    private let handThrough: HandThrough

    init(gateway: Gateway) {
        self.gateway = gateway
        handThrough = HandThrough(gateway: gateway)
    }

    @Sendable func list(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try request.checkAccepts("application/json")
        let query = try Query(request.query)
        try query.allowOnly(["limit", "skip", "internal_name"])
        let span = try PageSpan(query)
        var models = try await models(for: context.caller)
        if let part = try query.single("internal_name"), !part.isEmpty {
            models.removeAll { !$0.name.contains(part) }
        }
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("results")
        writer.beginArray()
        for model in models.dropFirst(span.skip).prefix(span.limit) { Self.write(model, to: &writer) }
        writer.endArray()
        writer.name("total_records")
        writer.value(models.count)
        writer.endObject()
        return .json(writer.bytes)
    }

    @Sendable func show(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let text = String(context.parameters["model_id"] ?? "").decodingEscapes
        if let answer = try await inferenceProtocol(request, text, context) { return answer }
        try request.checkAccepts("application/json")
        try Query(request.query).allowOnly([])
        let models = try await models(for: context.caller)
        let name = ModelID.name(text, among: models.map(\.name))
        guard let model = models.first(where: { $0.name == name }) else { throw APIError.noSuchModel(text) }
        var writer = JSONWriter()
        Self.write(model, to: &writer)
        return .json(writer.bytes)
    }

    /// The same path is a question of the Open Inference Protocol, whose clients know models by name. The clients of the
    /// reference gateway know them by id alone.
    ///
    /// - Returns: nil unless the name is that of a model that speaks it.
    private func inferenceProtocol(
        _ request: Request, _ name: String, _ context: GatewayContext
    ) async throws -> Response? {
        // What is wrong with a path that is not a call is not of interest here.
        let call = try? gateway.callTable.current.find(request.method, request.path, query: request.query)
        guard UUIDv7(name) == nil, let found = call, found.isNamedByPath else { return nil }
        do {
            return try await handThrough.answer(request, found, context)
        } catch let error as APIError {
            return found.form.response(for: error, instance: request.path, target: request.target)
        }
    }

    /// Those that take jobs.
    private func models(for caller: Caller) async throws -> [JobQueue.ModelFigures] {
        try await gateway.queue.modelFigures(for: caller).filter { $0.state != .removed }
    }

    private static func write(_ model: JobQueue.ModelFigures, to writer: inout JSONWriter) {
        writer.beginObject()
        writer.name("id")
        writer.value(ModelID.of(model.name))
        writer.name("display_name")
        writer.value(model.name)
        writer.name("internal_name")
        writer.value(model.name)
        writer.name("status")
        writer.value(status(model.state))
        writer.name("active")
        writer.value(true)
        writer.name("created_by")
        writer.value("")
        ModelRoutes.members(of: model, to: &writer)
        writer.endObject()
    }

    /// In the reference gateway's words; it calls a model that is deployed COMPLETED.
    private static func status(_ state: JobQueue.ModelFigures.State) -> String {
        switch state {
        case .up: "COMPLETED"
        case .loading: "DEPLOY_IN_PROGRESS"
        case .down, .paused, .removed: "UNAVAILABLE"
        }
    }
}
