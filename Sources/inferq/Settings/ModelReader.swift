import InferqCore

/// Reads `[models.*]`, as ``InferqCore/ModelSettings/rows`` say.
struct ModelReader {
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
        return text.utf8.allSatisfy(\.isNamePart)
    }

    private func model(_ name: String, _ table: inout TableReader) -> ModelSettings {
        var model = ModelSettings(name: name, url: "")
        let inner = table.read(ModelSettings.rows, into: &model)
        if model.dialect != .none, !table.has("timeout") { model.timeout = ModelSettings.longTimeout }
        if !table.has("url") && filesAreComplete && !mayRunElsewhere {
            let advice = "set it to the model server's address, for example \"http://127.0.0.1:9001/predict\""
            table.report("url", Refusal("missing", advice))
        }
        for backoff in inner {
            backoff.refuseUnknown(elsewhere: top)
            if model.backoffCap < model.backoffBase && filesAreComplete {
                let (base, cap) = (DurationText.format(model.backoffBase), DurationText.format(model.backoffCap))
                let advice = "raise cap or lower base"
                backoff.report("cap", Refusal("the cap (\(cap)) is less than the base (\(base))", advice))
            }
        }
        return model
    }

    /// The headers in a table, sorted by name.
    @Sendable
    static func headers(_ table: inout TableReader) -> [HeaderSetting] {
        var headers: [HeaderSetting] = []
        var seen: Set<String> = []
        for name in table.keys {
            var value = ""
            table.read(name) { found, credentials throws(Refusal) in
                value = try headerValue.value(found, default: "", credentials)
            }
            do throws(Refusal) {
                try checkHeader(name)
                guard seen.insert(name.lowercased()).inserted else {
                    throw Refusal("the header is given twice", "keep one of them")
                }
                headers.append(HeaderSetting(name: name, value: value))
            } catch {
                table.report(name, error)
            }
        }
        return headers.sorted { $0.name < $1.name }
    }

    private static let headerValue = SettingRule<String>.secret(
        example: "$CREDENTIAL:name", write: { "\"\($0)\"" }
    ) { text throws(Refusal) in
        guard text.utf8.allSatisfy({ (0x20...0x7E).contains($0) }) else {
            throw Refusal("the header's value holds a character outside ASCII", "encode it")
        }
        guard text.first != " ", text.last != " " else {
            throw Refusal("the header's value begins or ends with a space", "remove it")
        }
        return text
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
            throw Refusal("this cannot be the name of a header", "write something like \"Authorization\"")
        }
        guard !reserved.contains(name.lowercased()) else {
            throw Refusal("the gateway sets this header itself", "remove it")
        }
    }

    static func pointer(_ text: String) throws(Refusal) -> String {
        do throws(JSONPointer.Malformed) {
            _ = try JSONPointer(text)
            return text
        } catch {
            let advice = "write something like \"/result/layers\", with ~0 for a tilde and ~1 for a slash in a name"
            throw Refusal("\(text.quoted()) is refused: \(error.description)", advice)
        }
    }

    /// A name by which clients call a model: as clients of model servers write them, slashes and all.
    static func alias(_ text: String) throws(Refusal) -> String {
        guard (1...256).contains(text.utf8.count), !text.utf8.contains(UInt8(ascii: " ")) else {
            throw Refusal("\(text.quoted()) cannot name a model", "use 1 to 256 characters without spaces")
        }
        return text
    }

    /// A path at the gateway's root, with `*` at its end for all that follows.
    static func path(_ text: String) throws(Refusal) -> String {
        let stem = text.hasSuffix("/*") ? text.dropLast(2) : text[...]
        let segments = stem.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
        let isPath =
            stem.hasPrefix("/") && text.utf8.count <= 1024
            && segments.allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." && !$0.contains("*") }
            && stem.utf8.allSatisfy { (0x21...0x7E).contains($0) && !"?#%\"<>\\^`{|}".utf8.contains($0) }
        guard isPath else {
            throw Refusal("\(text.quoted()) is not a path", "write something like \"/predict\" or \"/v1/thing/*\"")
        }
        return text
    }

    /// A method and a path, as `PUT /v1/other`.
    static func methodAndPath(_ text: String) throws(Refusal) -> String {
        let words = text.split(separator: " ", omittingEmptySubsequences: false)
        let methods = ["DELETE", "GET", "PATCH", "POST", "PUT"]
        guard words.count == 2, methods.contains(String(words[0])) else {
            let advice = "write something like \"PUT /v1/other\"; the methods are \(methods.joined(separator: ", "))"
            throw Refusal("\(text.quoted()) is not a method and a path", advice)
        }
        return "\(words[0]) \(try path(String(words[1])))"
    }

    static func healthPath(_ text: String) throws(Refusal) -> String {
        if text.isEmpty { return text }
        guard text.hasPrefix("/"), (try? WebAddress("http://localhost\(text)", example: "")) != nil else {
            // The reason is lost on purpose: it would speak of a URL that no one wrote.
            throw Refusal("\(text.quoted()) is not a path on the model server", "write something like \"/health\"")
        }
        return text
    }
}
