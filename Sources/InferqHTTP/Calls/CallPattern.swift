import InferqCore

/// A path that is offered, as settings write it: itself, or with `/*` at its end all that is below it.
struct CallPattern: Sendable, Hashable {
    let text: String

    init(_ text: String) {
        self.text = text
    }

    private var isOpen: Bool { text.hasSuffix("/*") }

    /// The one path that it covers; nil for all below one.
    var exactPath: String? { isOpen ? nil : text }

    /// - Parameter path: compared byte by byte.
    func covers(_ path: String) -> Bool {
        guard isOpen else { return text == path }
        // With the slash, without the asterisk.
        return path.utf8.starts(with: text.utf8.dropLast())
    }
}

/// A method and a path, as `PUT /v1/other` in the settings `direct` and `queued`.
struct CallRule: Sendable {
    private let method: String
    private let pattern: CallPattern

    /// Nil for a text without a space; the configuration's reader has refused those.
    init?(_ text: String) {
        guard let space = text.firstIndex(of: " ") else { return nil }
        method = String(text[..<space])
        pattern = CallPattern(String(text[text.index(after: space)...]))
    }

    func covers(_ method: String, _ path: String) -> Bool {
        method == self.method && pattern.covers(path)
    }
}

/// What may be asked at a path.
enum CallUse: Sendable {
    /// A POST is a job.
    case jobs
    /// A POST asks, and changes nothing: it is handed through.
    case questions
    /// GET and HEAD alone.
    case reading
}

/// A path at the gateway's root that is a call.
struct RootPath: Sendable {
    let pattern: CallPattern
    let use: CallUse
    /// For metrics.
    let route: String

    /// The route of paths that models name themselves.
    static let configured = "{paths}"
}

extension Dialect {
    /// The paths at the gateway's root, but for those of ``kserve``, which name the model; see ``KServePath``.
    var rootPaths: [RootPath] {
        switch self {
        case .none, .kserve: []
        case .openai: Self.paths(Self.sharedPaths + Self.otherOpenAIPaths, .jobs)
        case .ollama:
            Self.paths(Self.ollamaPaths + Self.sharedPaths, .jobs) + Self.paths(["/api/show"], .questions)
                + Self.paths(["/api/tags", "/api/ps", "/api/version"], .reading)
        }
    }

    private static func paths(_ texts: [String], _ use: CallUse) -> [RootPath] {
        texts.map { RootPath(pattern: CallPattern($0), use: use, route: $0) }
    }

    private static let ollamaPaths = ["/api/chat", "/api/generate", "/api/embed", "/api/embeddings"]
    /// Those of OpenAI that Ollama offers as well.
    private static let sharedPaths = [
        "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/messages",
    ]
    private static let otherOpenAIPaths = [
        "/v1/rerank", "/v1/score", "/v1/moderations", "/v1/audio/*", "/v1/images/*",
    ]
}
