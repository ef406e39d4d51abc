import InferqCore

/// Models of every dialect, for tables of calls.
enum SampleModels {
    static func model(
        _ name: String, _ dialect: Dialect = .none, url: String? = nil, names: [String] = [], paths: [String] = [],
        direct: [String] = [], queued: [String] = []
    ) -> ModelSettings {
        var model = ModelSettings(name: name, url: url ?? "http://\(name).example/base")
        model.dialect = dialect
        (model.names, model.paths, model.direct, model.queued) = (names, paths, direct, queued)
        return model
    }

    static let all = [
        model("llama", .openai, names: ["qwen3-*", "Qwen/Qwen3-8B"]),
        model("ollama", .ollama, names: ["llama3*"]),
        model("triton", .kserve, names: ["resnet"]),
        model(
            "plain", paths: ["/predict", "/v1/thing/*", "/v1/audio/special"],
            direct: ["DELETE /v1/thing/*", "POST /v1/thing/ask", "PUT /both"],
            queued: ["PUT /v1/thing/put", "PATCH /predict", "GET /v1/thing/slow", "PUT /both"]
        ),
    ]
}
