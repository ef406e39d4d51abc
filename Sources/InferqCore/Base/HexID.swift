/// Identifiers in the form that the OpenAI API gives them: a word for the kind, and 32 hexadecimal digits.
package struct HexID: Sendable {
    package let prefix: String

    package init(prefix: String) {
        self.prefix = prefix
    }

    package func text(of id: UUIDv7) -> String {
        prefix + id.description.filter { $0 != "-" }
    }

    /// Nil for any other form: there is one spelling alone.
    package func uuid(in text: some StringProtocol) -> UUIDv7? {
        let bytes = Array(text.utf8)
        guard bytes.starts(with: prefix.utf8), bytes.count == prefix.utf8.count + 32 else { return nil }
        var digits = Array(bytes.dropFirst(prefix.utf8.count))
        for place in [20, 16, 12, 8] { digits.insert(UInt8(ascii: "-"), at: place) }
        guard let id = UUIDv7(String(decoding: digits, as: UTF8.self)) else { return nil }
        return self.text(of: id) == text ? id : nil
    }
}
