import NIOHTTP1

/// A job's output on a terminal: only text, with control characters escaped, since a model server is not to be trusted.
enum OutputText {
    /// - Returns: why nothing was shown, if the output is no text.
    /// - Throws: ``ClientError``.
    static func show(_ answer: GatewayClient.Answer, _ client: GatewayClient) async throws -> String? {
        guard MediaType.isText(answer.contentType) else {
            return "the output is \(answer.contentType.quoted()), which is no text"
        }
        if let encoding = answer.headers.first(name: "Content-Encoding") {
            return "the output is encoded (\(encoding.quoted())), which is no text"
        }
        let text = String(decoding: try await client.bytes(of: answer), as: UTF8.self)
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            // The newline that ends the last line begins no other one.
            if line.isEmpty, line.endIndex == text.endIndex { break }
            let shown = line.split(separator: "\t", omittingEmptySubsequences: false)
                .map { String($0).visible(limit: .max) }.joined(separator: "\t")
            try StandardOutput.write(line: shown)
        }
        return nil
    }
}
