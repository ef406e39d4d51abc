import InferqCore

extension Client {
    /// Every setting of `[keys.NAME]`, in the order of docs/limits.md.
    static let rows: [SettingRow<Client>] = [
        SettingRow("hashes", \.keys, KeyRules.hashes),
        SettingRow("scopes", \.scopes, KeyRules.scopes),
        SettingRow("models", \.limits.models, .list(of: .text(example: "ocr", check: KeyRules.model))),
        SettingRow("max_priority", \.limits.maxPriority, .count(in: 0...Job.priorities.upperBound)),
        SettingRow("max_pending", \.limits.maxPending, .count(in: 0...1_000_000_000)),
        SettingRow("max_running", \.limits.maxRunning, .count(in: 0...1_000_000)),
        SettingRow("rate", \.limits.rate, KeyRules.rate),
        SettingRow("certificate", \.certificate, KeyRules.certificate),
    ]
}

/// The rules of what stands in files of keys. No sentence quotes what may be a key or a hash.
enum KeyRules {
    static let hashes = SettingRule<[Caller.Key]>(
        example: "[\(hashExample)]", isList: true, write: { "[\($0.map(text).joined(separator: ", "))]" }
    ) { value, context throws(Refusal) in
        guard case .list(let items) = value else {
            throw Refusal("expected a list, found \(kind(value))", "write something like \(context.example)")
        }
        var keys: [Caller.Key] = []
        for (index, item) in items.enumerated() {
            let key: Caller.Key
            do throws(Refusal) {
                key = try hash(item)
            } catch {
                throw Refusal("item \(index + 1): \(error.what)", error.advice)
            }
            guard !keys.contains(where: { $0.digest == key.digest }) else {
                throw Refusal("item \(index + 1): the key \(key.id) is in the list twice", "keep one of them")
            }
            keys.append(key)
        }
        return keys
    }

    static let scopes = SettingRule<Scopes>(
        range: "\(Scopes.named.map(\.name).joined(separator: ", ")), *", isList: true,
        write: { "[\($0.names.map { "\"\($0)\"" }.joined(separator: ", "))]" }
    ) { value, _ throws(Refusal) in
        let example = "write something like [\"submit\", \"read\", \"cancel\"]"
        guard case .list(let items) = value else { throw Refusal("expected a list, found \(value.found)", example) }
        var scopes: Scopes = []
        for (index, item) in items.enumerated() {
            guard case .text(let name) = item, let scope = Scopes(named: name) else {
                throw Refusal("item \(index + 1): expected a scope, found \(item.found)", "choose \(choices)")
            }
            scopes.formUnion(scope)
        }
        return scopes
    }

    static let rate = SettingRule<Rate?>(
        example: "\"600/1m\"", write: { "\"\($0?.text ?? "")\"" }
    ) { value, context throws(Refusal) in
        if value == .text("") { return nil }
        return try SettingRule<Rate>.rate.value(
            value, default: Rate(count: 600, window: .seconds(60)), context.credentials)
    }

    static let certificate = SettingRule<String?>(
        example: "\"spiffe://site.example/erp\"", write: { "\"\($0 ?? "")\"" }
    ) { value, context throws(Refusal) in
        if value == .text("") { return nil }
        let rule = SettingRule<String>.text(example: "spiffe://site.example/erp") { $0 }
        return try rule.value(value, default: "", context.credentials)
    }

    static func model(_ text: String) throws(Refusal) -> String {
        guard ModelReader.isName(text) else {
            throw Refusal("\(text.quoted()) cannot name a model", "write it as in its table [models.NAME]")
        }
        return text
    }

    /// One key as the files have it.
    static func text(_ key: Caller.Key) -> String {
        let expires = key.expires.map { ", expires = \"\($0.rfc3339)\"" } ?? ""
        return "{ id = \"\(key.id)\", sha256 = \"\(key.digest.hex)\"\(expires) }"
    }

    // MARK: One hash

    private static let choices = Scopes.named.map { "\"\($0.name)\"" }.joined(separator: ", ") + ", \"*\""
    private static let hashExample = "{ id = \"9f3c21aa\", sha256 = \"9f3c21aa...\" }"
    private static let advice = "let inferq write it: inferq key add NAME, or inferq key rotate NAME"

    private static func hash(_ value: SettingsValue) throws(Refusal) -> Caller.Key {
        guard case .table(let members) = value else {
            throw Refusal("expected a table, found \(kind(value))", "write something like \(hashExample)")
        }
        for name in members.keys.sorted() where !["id", "sha256", "expires"].contains(name) {
            throw Refusal("unknown key \(name.quoted())", "remove it; known here: expires, id, sha256")
        }
        let text = try text("sha256", members)
        guard let digest = KeyDigest(hex: text) else {
            throw Refusal("sha256 is not 64 lower-case hexadecimal digits", advice)
        }
        guard try self.text("id", members) == digest.id else {
            throw Refusal("id is not the first 8 digits of sha256", "correct the one that was changed")
        }
        var expires: Timestamp?
        if let node = members["expires"] {
            let example = "write something like \"2027-02-01T00:00:00Z\""
            guard case .text(let text) = node.value else {
                throw Refusal("expires: expected a string, found \(node.value.kind)", example)
            }
            expires = Timestamp(rfc3339: text)
            guard expires != nil else { throw Refusal("expires is not an RFC 3339 time", example) }
        }
        return Caller.Key(digest, expires: expires)
    }

    private static func text(_ name: String, _ members: [String: SettingsNode]) throws(Refusal) -> String {
        guard let value = members[name]?.value else { throw Refusal("\(name) is missing", advice) }
        guard case .text(let text) = value else {
            throw Refusal("\(name): expected a string, found \(kind(value))", "write it between quotation marks")
        }
        guard !text.hasPrefix(AccessKey.prefix) else {
            let advice = "give the client another one with inferq key rotate, and remove this one"
            throw Refusal(
                "\(name) holds a key itself, where its hash belongs, so the key is no longer a secret", advice)
        }
        return text
    }

    private static func kind(_ value: SettingsValue) -> String {
        if case .text(let text) = value, text.hasPrefix(AccessKey.prefix) { return "a key itself" }
        return value.kind
    }
}
