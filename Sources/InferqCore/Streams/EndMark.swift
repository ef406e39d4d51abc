/// What a dialect says when a stream is whole.
package enum EndMark: Sendable, Equatable {
    /// Chat and completions: an event whose data begins with `[DONE]`.
    case done
    /// Responses: `response.completed` or `response.incomplete`; `response.failed` is an error.
    case responses
    /// Anthropic: `message_stop`.
    case message
    /// Ollama: a line with `"done": true` or a `done_reason`.
    case ollama
    /// llama.cpp's own: `"stop": true`.
    case llama
    /// TGI: a `generated_text` that is not null.
    case generated
    /// The framing of HTTP alone decides.
    case none

    /// The mark of the streams that are answered on a path.
    ///
    /// - Parameter path: below the model server's root; a query does not matter.
    package init(_ dialect: Dialect, path: String, framing: StreamFraming) {
        let path = path.prefix { $0 != "?" }
        switch (dialect, framing) {
        case (.openai, .events): self.init(openAI: path)
        case (.ollama, .events) where path.hasPrefix("/v1/"): self.init(openAI: path)
        case (.ollama, .lines) where path.hasPrefix("/api/"): self = .ollama
        default: self = .none
        }
    }

    private init(openAI path: Substring) {
        switch path {
        case "/v1/chat/completions", "/v1/completions": self = .done
        case "/v1/responses": self = .responses
        case "/v1/messages": self = .message
        case "/completion", "/completions", "/infill": self = .llama
        case "/generate", "/generate_stream": self = .generated
        default: self = .none
        }
    }
}
