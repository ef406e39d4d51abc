import FoundationEssentials
import Glibc

/// Standard output as a command for people writes to it: with colors and a width only if it is a terminal.
struct Screen: Sendable {
    private let terminal = Terminal(STDOUT_FILENO)

    func write(_ table: Table) throws(ClientError) {
        for line in lines(of: table) { try StandardOutput.write(line: line) }
    }

    func lines(of table: Table) -> [String] {
        table.lines(width: terminal?.columns, isColored: terminal?.isColored ?? false)
    }

    func painted(_ text: String, _ color: Table.Color) -> String {
        terminal?.isColored == true ? color.paint(text) : text
    }
}

extension GatewayClient {
    /// The answer's bytes and what they say.
    ///
    /// - Throws: ``ClientError`` if they are no such answer.
    func decoded<Value: Decodable>(_ type: Value.Type, _ answer: Answer) async throws -> (value: Value, bytes: [UInt8])
    {
        let bytes = try await self.bytes(of: answer)
        // Whatever is wrong with them, they are not what a gateway answers.
        guard let value = try? JSONDecoder().decode(type, from: Data(bytes)) else {
            let sentence =
                "what answers at \(address) is not an inferq gateway of this version; name another with --url"
            throw ClientError(.unreadable, sentence)
        }
        return (value, bytes)
    }
}
