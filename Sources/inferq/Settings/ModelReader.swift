import InferqCore

/// Reads `[models.*]`.
struct ModelReader {
    let credentials: Credentials
    /// Names of the top of the file, for settings that landed in a model by mistake.
    let top: [String]
    /// Whether a missing address is missing, and not in a file that could not be read.
    let filesAreComplete: Bool
    /// Whether a model without an address may be served by workers on other hosts.
    let mayRunElsewhere: Bool

    func read(_ models: TableReader) -> [String: ModelSettings] {
        var models = models
        var result: [String: ModelSettings] = [:]
        for name in models.keys {
            guard var table = models.table(name, example: "[models.NAME]") else { continue }
            if !Self.isName(name) {
                let advice =
                    "use at most 128 letters, digits, dots, underscores, colons and hyphens, a letter or digit first"
                models.report(name, Refusal("the name of a model cannot be written like this", advice))
            }
            result[name] = model(name, &table)
            table.refuseUnknown(elsewhere: top)
        }
        return result
    }

    /// A name stands unescaped in URL paths and queries, metric labels and Redis keys: ASCII letters and digits, `.`,
    /// `_`, `:` and `-`, beginning with a letter or a digit (so it is never `.` or `..`), at most 128 characters. A
    /// slash would be a second path segment to proxies that decode `%2F`.
    static func isName(_ text: String) -> Bool {
        guard let first = text.utf8.first, first.isLetterOrDigit, text.utf8.count <= 128 else { return false }
        return text.utf8.allSatisfy { $0.isLetterOrDigit || "._:-".utf8.contains($0) }
    }

    private func model(_ name: String, _ table: inout TableReader) -> ModelSettings {
        var model = ModelSettings(name: name, url: "")
        let moment: Duration = .milliseconds(1)
        let month: Duration = .seconds(30 * 86_400)
        table.read(
            "url", into: &model.url, .text(example: "http://127.0.0.1:9001/predict", check: AddressRules.modelURL))
        if !table.has("url") && filesAreComplete && !mayRunElsewhere {
            let advice = "set it to the model server's address, for example \"http://127.0.0.1:9001/predict\""
            table.report("url", Refusal("missing", advice))
        }
        table.read("concurrency", into: &model.concurrency, .count(in: 1...4096, example: 1))
        table.read("queue_limit", into: &model.queueLimit, .count(in: 1...1_000_000_000, example: 100_000))
        table.read("timeout", into: &model.timeout, .duration(in: moment...month, example: "5m"))
        table.read("ready_timeout", into: &model.readyTimeout, .duration(in: .zero...month, example: "10m"))
        table.read("max_attempts", into: &model.maxAttempts, .count(in: 1...25, example: 3))
        table.read("max_answer", into: &model.maxAnswer, .size(in: 1...(16 << 30), example: "64MiB"))
        table.read("layers", into: &model.layers, .text(example: "/predicted_layers", check: Self.pointer))
        table.read("health", into: &model.health, .text(example: "/health", check: Self.healthPath))
        readBackoff(&table, &model)
        readHeaders(&table, &model)
        return model
    }

    private func readBackoff(_ table: inout TableReader, _ model: inout ModelSettings) {
        guard var backoff = table.table("backoff", example: "{ base = \"1s\", cap = \"2m\" }") else { return }
        let longest: Duration = .seconds(7 * 86_400)
        backoff.read("base", into: &model.backoffBase, .duration(in: .milliseconds(1)...longest, example: "1s"))
        backoff.read("cap", into: &model.backoffCap, .duration(in: .milliseconds(1)...longest, example: "2m"))
        backoff.refuseUnknown(elsewhere: top)
        if model.backoffCap < model.backoffBase && filesAreComplete {
            let (base, cap) = (DurationText.format(model.backoffBase), DurationText.format(model.backoffCap))
            let advice = "raise cap or lower base"
            backoff.report("cap", Refusal("the cap (\(cap)) is less than the base (\(base))", advice))
        }
    }

    private func readHeaders(_ table: inout TableReader, _ model: inout ModelSettings) {
        guard var headers = table.table("headers", example: "{ NAME = \"value\" }") else { return }
        var seen: Set<String> = []
        for name in headers.keys {
            var value = ""
            headers.read(name, into: &value, headerValue)
            do throws(Refusal) {
                try Self.checkHeader(name)
                guard seen.insert(name.lowercased()).inserted else {
                    throw Refusal("the header is given twice", "keep one of them")
                }
                model.headers.append(HeaderSetting(name: name, value: value))
            } catch {
                headers.report(name, error)
            }
        }
        model.headers.sort { $0.name < $1.name }
    }

    private var headerValue: SettingRule<String> {
        .text(example: "$CREDENTIAL:name", isSecret: true) { text throws(Refusal) in
            let value = try credentials.resolve(text)
            guard value.utf8.allSatisfy({ (0x20...0x7E).contains($0) }) else {
                throw Refusal("the header's value holds a character outside ASCII", "encode it")
            }
            guard value.first != " ", value.last != " " else {
                throw Refusal("the header's value begins or ends with a space", "remove it")
            }
            return value
        }
    }

    /// Set by the gateway for every call, or decided by the connection: a second one would contradict the first.
    private static let reserved: Set<String> = [
        "connection", "content-encoding", "content-length", "content-type", "expect", "host", "idempotency-key",
        "keep-alive", "proxy-connection", "te", "traceparent", "trailer", "transfer-encoding", "upgrade", "x-attempt",
        "x-event-id", "x-inference-id", "x-notify-token", "x-notify-url",
    ]

    private static func checkHeader(_ name: String) throws(Refusal) {
        let isToken = name.utf8.allSatisfy { $0.isLetterOrDigit || "!#$%&'*+-.^_`|~".utf8.contains($0) }
        guard isToken, (1...128).contains(name.utf8.count) else {
            throw Refusal("this cannot be the name of a header", "write for example \"Authorization\"")
        }
        guard !reserved.contains(name.lowercased()) else {
            throw Refusal("the gateway sets this header itself", "remove it")
        }
    }

    private static func pointer(_ text: String) throws(Refusal) -> String {
        do throws(JSONPointer.Malformed) {
            _ = try JSONPointer(text)
            return text
        } catch {
            let advice = "write for example \"/result/layers\", with ~0 for a tilde and ~1 for a slash in a name"
            throw Refusal("\(text.quoted()) is refused: \(error.description)", advice)
        }
    }

    private static func healthPath(_ text: String) throws(Refusal) -> String {
        if text.isEmpty { return text }
        guard text.hasPrefix("/"), (try? WebAddress("http://localhost\(text)", example: "")) != nil else {
            // The reason is lost on purpose: it would speak of a URL that nobody wrote.
            throw Refusal("\(text.quoted()) is not a path on the model server", "write for example \"/health\"")
        }
        return text
    }
}
