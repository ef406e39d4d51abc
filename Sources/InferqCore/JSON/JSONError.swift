/// Why a text is not JSON, and where: the first fault from its beginning.
package struct JSONError: Error, Equatable, Sendable {
    package enum Reason: Equatable, Sendable {
        /// Bytes that strict UTF-8 does not have: overlong, an encoded surrogate, cut short, past U+10FFFF.
        case invalidUTF8
        /// The text begins with U+FEFF, which RFC 8259 does not allow.
        case byteOrderMark
        case unexpectedEnd(expected: Expected)
        case unexpected(Unicode.Scalar, expected: Expected)
        /// A backslash in a string that none of `"\/bfnrt`, nor `u` and four hexadecimal digits, follows.
        case badEscape
        /// A control character (below U+0020) that stands in a string without an escape.
        case controlCharacter(Unicode.Scalar)
        /// A number of more than one digit that begins with 0.
        case leadingZero
        case tooDeep(limit: Int)
    }

    /// What the grammar would have taken, in words.
    package enum Expected: String, Sendable {
        case value = "a value"
        case valueOrBracket = "a value or ']'"
        case name = "a name in double quotes"
        case nameOrBrace = "a name in double quotes or '}'"
        case colon = "':'"
        case commaOrBrace = "',' or '}'"
        case commaOrBracket = "',' or ']'"
        case closingQuote = "the end of the string"
        case digit = "a digit"
        case literalTrue = "'true'"
        case literalFalse = "'false'"
        case literalNull = "'null'"
        case end = "the end of the text"
    }

    package let reason: Reason
    /// In bytes from the beginning of the text; its length when the text ends too early.
    package let offset: Int
    /// From 1; lines end with LF.
    package let line: Int
    /// From 1, in Unicode scalars of that line.
    package let column: Int

    init(_ reason: Reason, at offset: Int, in text: Span<UInt8>) {
        var line = 1
        var column = 1
        for index in 0..<offset {
            if text[index] == 0x0A {
                line += 1
                column = 1
            } else if text[index] & 0xC0 != 0x80 {
                column += 1
            }
        }
        self.reason = reason
        self.offset = offset
        self.line = line
        self.column = column
    }

    /// Says what stands at `offset` in place of what was expected: the end, a character, or bytes that are none.
    @inline(never)
    init(expected: Expected, at offset: Int, in text: Span<UInt8>) {
        if offset >= text.count {
            self.init(.unexpectedEnd(expected: expected), at: text.count, in: text)
        } else if let found = JSONLexer.scalar(text, at: offset) {
            let isMark = offset == 0 && found == "\u{FEFF}"
            self.init(isMark ? .byteOrderMark : .unexpected(found, expected: expected), at: offset, in: text)
        } else {
            self.init(.invalidUTF8, at: offset, in: text)
        }
    }
}

extension JSONError: CustomStringConvertible {
    /// One sentence without a full stop; what was found is quoted only if it is printable ASCII.
    package var description: String {
        "\(sentence) at line \(line), column \(column)"
    }

    private var sentence: String {
        switch reason {
        case .invalidUTF8: "the text is not valid UTF-8"
        case .byteOrderMark: "the text begins with a byte order mark"
        case .unexpectedEnd(let expected): "expected \(expected.rawValue) but the text ends"
        case .unexpected(let found, let expected): "expected \(expected.rawValue) but found \(Self.shown(found))"
        case .badEscape: "a backslash does not begin a valid JSON escape"
        case .controlCharacter(let found): "the control character \(Self.shown(found)) is not escaped in a string"
        case .leadingZero: "a number has a leading zero"
        case .tooDeep(let limit): "arrays and objects are nested deeper than \(limit)"
        }
    }

    private static func shown(_ scalar: Unicode.Scalar) -> String {
        if scalar == "'" { return "a single quote" }
        if scalar == " " { return "a space" }
        if scalar.value > 0x20, scalar.value < 0x7F { return "'\(scalar)'" }
        let digits = String(scalar.value, radix: 16, uppercase: true)
        return "U+" + String(repeating: "0", count: max(0, 4 - digits.count)) + digits
    }
}
