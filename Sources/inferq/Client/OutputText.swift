/// A job's output on a terminal: only text, with control characters escaped, since a model server is not to be trusted.
enum OutputText {
    /// - Returns: why nothing was shown, if the output is no text.
    /// - Throws: ``ClientError``.
    static func show(_ answer: GatewayClient.Answer, _ client: GatewayClient) async throws -> String? {
        if let obstacle = answer.type.obstacle { return obstacle }
        var text = TerminalText()
        var last: UInt8 = 0x0A
        try await client.read(answer) { bytes in
            let shown = text.push(bytes)
            try StandardOutput.write(shown)
            last = shown.last ?? last
            return true
        }
        let rest = text.end()
        last = rest.last ?? last
        try StandardOutput.write(last == 0x0A ? rest : rest + [0x0A])
        return nil
    }
}
