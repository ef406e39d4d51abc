extension StringProtocol {
    /// Without the spaces and tabs at both ends.
    package var trimmingSpaces: String {
        // By bytes: to look for grapheme clusters costs more than all the rest of a field.
        func isSpace(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }
        var text = Substring(self)
        while let first = text.utf8.first, isSpace(first) { text = text[text.utf8.index(after: text.startIndex)...] }
        while let last = text.utf8.last, isSpace(last) { text = text[..<text.utf8.index(before: text.endIndex)] }
        return String(text)
    }
}

extension String {
    /// At most 100 characters of what came from outside: enough to recognize it.
    package var clipped: String {
        // By scalars: one grapheme cluster may be as long as the whole text.
        guard let end = unicodeScalars.index(startIndex, offsetBy: 100, limitedBy: endIndex), end < endIndex else {
            return self
        }
        return self[..<end] + "..."
    }
}
