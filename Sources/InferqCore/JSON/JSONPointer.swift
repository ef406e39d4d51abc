/// A JSON Pointer (RFC 6901): the way from a whole text, which is the empty pointer, to one value in it.
package struct JSONPointer: Sendable, Equatable {
    /// Why a text is not a JSON Pointer, as one sentence without a full stop.
    package struct Malformed: Error, Equatable, CustomStringConvertible {
        package let description: String
    }

    /// One step: a member's name, or an element's index.
    struct Token: Sendable, Equatable {
        let name: String
        /// nil unless the name is a decimal number without leading zeros; so `-`, which is past the end, finds nothing.
        let index: Int?

        init(_ name: String) {
            self.name = name
            let isNumber = !name.isEmpty && name.utf8.allSatisfy(JSONByte.isDigit)
            index = isNumber && (name == "0" || !name.hasPrefix("0")) ? Int(name) : nil
        }

        /// Whether the string token in `range` says the name.
        func matches(_ text: Span<UInt8>, _ range: Range<Int>) -> Bool {
            let content = text.extracting(range.lowerBound + 1..<range.upperBound - 1)
            guard JSONByte.skipToQuoteOrBackslash(content, from: 0) == content.count else {
                return name.utf8.elementsEqual(JSONText.decoded(text, range).utf8)
            }
            return content.withUnsafeBufferPointer { $0.elementsEqual(name.utf8) }
        }
    }

    let tokens: [Token]

    /// - Throws: ``Malformed`` if the text is neither empty nor begins with `/`, or has a `~` without 0 or 1 behind it.
    package init(_ text: String) throws(Malformed) {
        guard !text.isEmpty else {
            tokens = []
            return
        }
        guard text.utf8.first == UInt8(ascii: "/") else {
            throw Malformed(description: "a JSON Pointer is empty or begins with '/'")
        }
        var tokens: [Token] = []
        for part in text.utf8.dropFirst().split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false) {
            tokens.append(Token(try Self.unescaped(part)))
        }
        self.tokens = tokens
    }

    private static func unescaped(_ part: Substring.UTF8View) throws(Malformed) -> String {
        var name: [UInt8] = []
        var rest = part[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "~") else {
                name.append(byte)
                continue
            }
            switch rest.popFirst() {
            case UInt8(ascii: "0"): name.append(UInt8(ascii: "~"))
            case UInt8(ascii: "1"): name.append(UInt8(ascii: "/"))
            default: throw Malformed(description: "in a JSON Pointer '~' must be followed by 0 or 1")
            }
        }
        return String(decoding: name, as: UTF8.self)
    }
}
