/// A model server that was found on this host, and what the configuration should say of it.
struct FoundServer: Sendable, Equatable {
    /// What it is, for people.
    var kind: String
    /// How its table is called, unless another one is called so.
    var name: String
    var url: String
    var dialect: String?
    /// The path that says whether it is ready.
    var health: String?
    /// nil: the default.
    var concurrency: Concurrency?
    /// What clients call its models.
    var models: [String] = []

    /// How many calls at a time, and why so many.
    struct Concurrency: Sendable, Equatable {
        var count: Int
        var reason: String
    }
}

extension FoundServer {
    /// Nil where a port answers as no model server that is known, or as a gateway of ours.
    ///
    /// Sources: llama.cpp `tools/server/README.md` (`/props`), the API documents of Ollama, vLLM, TGI and the Open
    /// Inference Protocol (KServe V2).
    init?(_ answers: PortAnswers) {
        let url = "http://127.0.0.1:\(answers.port)"
        if answers.object("/readyz")?["broker"] != nil { return nil }
        let listed = Self.strings(answers.object("/v1/models")?["data"], "id")
        let owner = Self.strings(answers.object("/v1/models")?["data"], "owned_by").first
        if answers.text("/").hasPrefix("Ollama is running") {
            self.init(kind: "Ollama", name: "ollama", url: url, dialect: "ollama", health: "/api/version")
            models = Self.strings(answers.object("/api/tags")?["models"], "name")
        } else if let properties = answers.object("/props"), properties["default_generation_settings"] != nil {
            self.init(kind: "llama.cpp's server", name: "llama", url: url, dialect: "openai", health: "/health")
            if let slots = properties["total_slots"] as? Int, slots > 0 {
                concurrency = Concurrency(count: slots, reason: "the server reports this many slots")
            }
            models = listed
        } else if let server = answers.object("/v2"), let name = server["name"] as? String, server["version"] != nil {
            self.init(
                kind: name, name: Self.tableName(name), url: url, dialect: "kserve", health: "/v2/health/ready")
            // A table without them is called by its own name alone, and the server's models have others.
            models = ["*"]
        } else if owner == "vllm" {
            self.init(kind: "vLLM", name: "vllm", url: url, dialect: "openai", health: "/health")
            concurrency = Concurrency(
                count: 32, reason: "it batches requests; there is no point in going above its --max-num-seqs")
            models = listed
        } else if let info = answers.object("/info"), let model = info["model_id"] as? String {
            self.init(kind: "TGI", name: "tgi", url: url, dialect: "openai", health: "/health")
            let most = info["max_concurrent_requests"] as? Int ?? 32
            concurrency = Concurrency(
                count: max(1, min(most, 1024)), reason: "it batches requests, and accepts this many")
            models = listed.isEmpty ? [model] : listed
        } else if !listed.isEmpty {
            self.init(kind: "a server with OpenAI's API", name: "openai", url: url, dialect: "openai")
            models = listed
        } else if let document = answers.object("/openapi.json"), let paths = document["paths"] as? [String: Any] {
            let posts = paths.filter { ($0.value as? [String: Any])?["post"] != nil }.keys.sorted()
            // Which of several is the model's, no one but its author knows.
            guard let only = posts.first, posts.count == 1, only.utf8.allSatisfy(\.isPlainInPath) else { return nil }
            let title = (document["info"] as? [String: Any])?["title"] as? String
            self.init(
                kind: title.map { "\"\($0)\"" } ?? "a server with one path for POST", name: Self.tableName(only),
                url: url + only)
        } else {
            return nil
        }
    }

    private init(kind: String, name: String, url: String, dialect: String? = nil, health: String? = nil) {
        self.kind = kind
        self.name = name
        self.url = url
        self.dialect = dialect
        self.health = health
    }

    private static func strings(_ list: Any?, _ member: String) -> [String] {
        (list as? [Any] ?? []).compactMap { ($0 as? [String: Any])?[member] as? String }
    }

    /// A name that a table may have, made of any text.
    private static func tableName(_ text: String) -> String {
        let parts = text.lowercased().split { !$0.isASCII || !($0.isLetter || $0.isNumber) }
        let name = parts.joined(separator: "-")
        return ModelReader.isName(name) ? name : "model"
    }

    // MARK: As TOML

    /// The text of a configuration with these servers.
    ///
    /// The same name is told apart by the port, and a name of a model is given to the first server that has it: a call
    /// that uses it would be for either.
    static func toml(_ servers: [FoundServer]) -> String {
        var text = ""
        var tables: Set<String> = []
        var taken: Set<String> = []
        for server in servers {
            let isAlone = servers.count { $0.name == server.name } == 1
            var name = isAlone ? server.name : "\(server.name)-\(server.port)"
            while !tables.insert(name).inserted { name += "-x" }
            let names = server.models.filter { taken.insert("\(server.dialect ?? "") \($0)").inserted }
            text += "\n" + server.table(name, names: names)
        }
        return text
    }

    private var port: String {
        String(url.dropFirst("http://127.0.0.1:".count).prefix { $0.isNumber })
    }

    private func table(_ name: String, names: [String]) -> String {
        var lines = [
            "# \(kind.visible(limit: 100)) at port \(port).", "[models.\"\(name)\"]", "url = \(Self.quoted(url))",
        ]
        if ModelReader.isName(name), !name.contains("."), !name.contains(":") { lines[1] = "[models.\(name)]" }
        if let dialect { lines.append("dialect = \"\(dialect)\"") }
        if let health { lines.append("health = \"\(health)\"") }
        if let concurrency { lines.append("concurrency = \(concurrency.count)   # \(concurrency.reason)") }
        // What else a server may say has no place in a file that people read.
        let names = names.filter { name in
            (try? ModelReader.alias(name)) != nil && name.utf8.allSatisfy { (0x21...0x7E).contains($0) }
        }
        if !names.isEmpty { lines.append("names = [\(names.map(Self.quoted).joined(separator: ", "))]") }
        return lines.joined(separator: "\n") + "\n"
    }

    /// - Parameter text: printable ASCII.
    private static func quoted(_ text: String) -> String {
        "\"\(text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\""))\""
    }
}

extension UInt8 {
    /// Whether it stands for itself in a path and in a text of TOML.
    fileprivate var isPlainInPath: Bool { isNamePart || self == UInt8(ascii: "/") }
}
