/// The parameters of a field's value, as `; name="value"`.
struct FieldParameters: Sendable, Equatable {
    private var values: [String: String] = [:]

    /// Reads what is well-formed. Of parameters of the same name the first counts.
    init(_ field: String) {
        var rest = field.utf8[...]
        rest = rest[(Self.endOfText(rest))...]
        while rest.popFirst() != nil {
            let end = Self.endOfText(rest)
            let parameter = rest[..<end]
            rest = rest[end...]
            guard let equals = parameter.firstIndex(of: UInt8(ascii: "=")) else { continue }
            let name = String(Substring(parameter[..<equals])).trimmingSpaces.lowercased()
            let value = String(Substring(parameter[parameter.index(after: equals)...])).trimmingSpaces
            if values[name] == nil { values[name] = Self.unquoted(value) }
        }
    }

    /// - Parameter name: in lower case.
    subscript(name: String) -> String? { values[name] }

    /// Where the next semicolon is that is not between quotation marks.
    private static func endOfText(_ text: Substring.UTF8View) -> Substring.UTF8View.Index {
        var isQuoted = false
        var isEscaped = false
        for index in text.indices {
            switch text[index] {
            case _ where isEscaped: isEscaped = false
            case UInt8(ascii: "\\") where isQuoted: isEscaped = true
            case UInt8(ascii: "\""): isQuoted.toggle()
            case UInt8(ascii: ";") where !isQuoted: return index
            default: break
            }
        }
        return text.endIndex
    }

    private static func unquoted(_ value: String) -> String {
        guard value.hasPrefix("\""), value.hasSuffix("\""), value.utf8.count >= 2 else { return value }
        var bytes: [UInt8] = []
        var isEscaped = false
        for byte in value.utf8.dropFirst().dropLast() {
            if byte == UInt8(ascii: "\\"), !isEscaped {
                isEscaped = true
            } else {
                bytes.append(byte)
                isEscaped = false
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
