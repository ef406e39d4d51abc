import InferqCore

/// Makes text from a stranger fit for a terminal while it comes: all control characters but tab and line feed are
/// escaped, and bytes that are no UTF-8 become U+FFFD.
struct TerminalText {
    /// The beginning of a character whose other bytes have not come.
    private var begun: [UInt8] = []
    /// Whether the last character was a CR, which belongs to the line feed that may follow.
    private var isAfterReturn = false

    mutating func push(_ bytes: [UInt8]) -> [UInt8] {
        let all = begun + bytes
        let whole = all.countOfWholeCharacters
        begun = Array(all[whole...])
        return shown(all[..<whole])
    }

    /// What is still held back, as nothing more comes.
    mutating func end() -> [UInt8] {
        var rest = shown(begun[...])
        begun = []
        if isAfterReturn { rest += Array("\\r".utf8) }
        isAfterReturn = false
        return rest
    }

    private mutating func shown(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
        var text = ""
        for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
            if isAfterReturn, scalar != "\n" { text += "\\r" }
            isAfterReturn = scalar == "\r"
            switch scalar {
            case "\n", "\t": text.unicodeScalars.append(scalar)
            case "\r": break
            case _ where scalar.isInvisible: text += scalar.escape
            default: text.unicodeScalars.append(scalar)
            }
        }
        return Array(text.utf8)
    }
}
