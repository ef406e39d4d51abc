/// A path of the Open Inference Protocol: `/v2/models/{model}[/versions/{version}]/...`, or one of the whole server.
struct KServePath: Sendable, Equatable {
    /// Without escapes; nil for the paths of the whole server.
    let model: String?
    let use: CallUse
    /// For metrics.
    let route: String

    static let routes = [
        "/v2", "/v2/health/*", "/v2/models/{model}", "/v2/models/{model}/ready", "/v2/models/{model}/infer",
        "/v2/models/{model}/generate", "/v2/models/{model}/generate_stream", "/v2/models/{model}/infer_stream",
    ]

    /// Nil for any other path.
    init?(_ path: String) {
        guard path.utf8.starts(with: "/v2".utf8) else { return nil }
        var segments = path.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
            .map { String(Substring($0)) }.dropFirst()
        guard segments.popFirst() == "v2" else { return nil }
        let kind = segments.popFirst()
        guard kind == "models" else {
            guard kind == nil || kind == "health", segments.allSatisfy({ !$0.isEmpty }) else { return nil }
            if kind != nil, segments.isEmpty { return nil }
            model = nil
            use = .reading
            route = kind == nil ? "/v2" : "/v2/health/*"
            return
        }
        guard let name = segments.popFirst(), !name.isEmpty else { return nil }
        if segments.first == "versions" {
            segments = segments.dropFirst()
            guard let version = segments.popFirst(), !version.isEmpty else { return nil }
        }
        let verb = segments.popFirst()
        guard segments.isEmpty else { return nil }
        switch verb {
        case nil, "ready": use = .reading
        case "infer", "generate", "generate_stream", "infer_stream": use = .jobs
        default: return nil
        }
        model = name.decodingEscapes
        route = "/v2/models/{model}" + (verb.map { "/\($0)" } ?? "")
    }
}
