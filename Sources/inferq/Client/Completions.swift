import ArgumentParser
import InferqCore

/// What a shell completes words with: names and ids, asked of the gateway. Nothing where that does not answer at once.
enum Completions {
    /// Names of models.
    static let models = CompletionKind.custom { words, _, _ in
        await ask(words, "/v1/models", ModelPage.self)?.results.map(\.name) ?? []
    }

    /// Ids of the newest jobs to which the command before can be applied.
    static let jobs = CompletionKind.custom { words, _, _ in
        let statuses =
            if words.contains("cancel") {
                ["PENDING", "RUNNING"]
            } else if words.contains("retry") {
                ["ERROR", "CANCELLED"]
            } else if words.contains("delete") {
                ["COMPLETED", "ERROR", "CANCELLED"]
            } else {
                [String]()
            }
        let query = (["limit=\(most)"] + statuses.map { "status=\($0)" }).joined(separator: "&")
        return await ask(words, "/v1/inference?\(query)", JobPage.self)?.results.map(\.id) ?? []
    }

    static let statuses = CompletionKind.list(["PENDING", "RUNNING", "COMPLETED", "ERROR", "CANCELLED"])

    /// More ids than that no one reads.
    private static let most = 50
    /// Somebody waits with a hand on the keyboard.
    private static let patience = Duration.seconds(2)

    private static func ask<Page: Decodable & Sendable>(
        _ words: [String], _ path: String, _ type: Page.Type
    ) async -> Page? {
        do {
            let url = value(of: "--url", in: words)
            let candidates = try GatewayAddress.candidates(flag: url, variable: Environment["INFERQ_URL"])
            let ca = value(of: "--ca", in: words) ?? ""
            let credentials = GatewayClient.Credentials(key: try ClientKey.fromEnvironment(), ca: ca)
            return try await GatewayClient.withClient(of: candidates, credentials, silence: patience) { client in
                try await client.decoded(Page.self, client.get(path)).value
            }
        } catch {
            // A word that cannot be completed is typed.
            return nil
        }
    }

    /// What an option of the line says; nil if it is missing.
    ///
    /// - Parameter words: as bash splits a line, at colons and equals signs too, each a word of its own.
    static func value(of option: String, in words: [String]) -> String? {
        if let word = words.first(where: { $0.hasPrefix(option + "=") }) {
            return String(word.dropFirst(option.count + 1))
        }
        guard let start = words.firstIndex(of: option) else { return nil }
        var rest = words[(start + 1)...]
        if rest.first == "=" { rest = rest.dropFirst() }
        guard var text = rest.popFirst() else { return nil }
        while let next = rest.popFirst(), next == ":" || text.hasSuffix(":") { text += next }
        return text
    }
}
