/// The language of a model server. Stored and configured by its name, so never renamed.
package enum Dialect: String, Sendable, CaseIterable {
    /// HTTP that inferq knows nothing of.
    case none
    /// `/v1/chat/completions` and its kin: OpenAI, llama.cpp, vLLM.
    case openai
    /// `/api/chat` and its kin, and most of ``openai``.
    case ollama
    /// The Open Inference Protocol, `/v2/models/{name}/infer`: KServe, MLServer, Triton.
    case kserve

    /// The path below the server's root that gets the native submits of a model.
    ///
    /// - Parameter model: its name.
    /// - Returns: nil for ``none``, whose `url` names the path.
    package func nativePath(_ model: String) -> String? {
        switch self {
        case .none: nil
        case .openai: "/v1/chat/completions"
        case .ollama: "/api/chat"
        case .kserve: "/v2/models/\(model)/infer"
        }
    }
}
