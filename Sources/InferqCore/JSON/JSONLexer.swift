/// The strict tokens of RFC 8259. Each function begins at an index and gives the index behind what it has read.
enum JSONLexer {
    /// `start` is behind the opening quote; the result behind the closing one.
    @inline(__always)
    static func string(_ text: Span<UInt8>, from start: Int) throws(JSONError) -> Int {
        var index = start
        while true {
            index = JSONByte.skipPlain(text, from: index)
            guard index < text.count else { throw JSONError(expected: .closingQuote, at: index, in: text) }
            let byte = text[index]
            if byte == JSONByte.quote { return index + 1 }
            if byte == JSONByte.backslash {
                index = try escape(text, at: index)
            } else if byte >= 0x80 {
                index = try nonASCII(text, from: index)
            } else {
                throw JSONError(.controlCharacter(Unicode.Scalar(byte)), at: index, in: text)
            }
        }
    }

    static func number(_ text: Span<UInt8>, from start: Int) throws(JSONError) -> Int {
        var index = start
        if text[index] == JSONByte.minus { index += 1 }
        let isZero = index < text.count && text[index] == UInt8(ascii: "0")
        let end = try digits(text, from: index)
        if isZero, end > index + 1 { throw JSONError(.leadingZero, at: index, in: text) }
        index = end
        if index < text.count, text[index] == UInt8(ascii: ".") {
            index = try digits(text, from: index + 1)
        }
        if index < text.count, text[index] | 0x20 == UInt8(ascii: "e") {
            index += 1
            if index < text.count, text[index] == JSONByte.minus || text[index] == UInt8(ascii: "+") { index += 1 }
            index = try digits(text, from: index)
        }
        return index
    }

    static func literal(
        _ literal: String,
        _ expected: JSONError.Expected,
        _ text: Span<UInt8>,
        from start: Int
    ) throws(JSONError) -> Int {
        var index = start
        for byte in literal.utf8 {
            guard index < text.count, text[index] == byte else {
                throw JSONError(expected: expected, at: index, in: text)
            }
            index += 1
        }
        return index
    }

    /// The scalar whose UTF-8 begins at `index`, or nil if none does; ASCII included.
    static func scalar(_ text: Span<UInt8>, at index: Int) -> Unicode.Scalar? {
        let first = text[index]
        if first < 0x80 { return Unicode.Scalar(first) }
        let width = sequenceWidth(text, at: index)
        guard width > 0 else { return nil }
        var value = UInt32(first) & (0x7F >> UInt32(width))
        for next in index + 1..<index + width { value = value << 6 | UInt32(text[next] & 0x3F) }
        return Unicode.Scalar(value)
    }

    private static func digits(_ text: Span<UInt8>, from start: Int) throws(JSONError) -> Int {
        var index = start
        while index < text.count, JSONByte.isDigit(text[index]) { index += 1 }
        guard index > start else { throw JSONError(expected: .digit, at: index, in: text) }
        return index
    }

    private static func escape(_ text: Span<UInt8>, at backslash: Int) throws(JSONError) -> Int {
        guard backslash + 1 < text.count else {
            throw JSONError(expected: .closingQuote, at: backslash + 1, in: text)
        }
        switch text[backslash + 1] {
        case JSONByte.quote, JSONByte.backslash, UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            return backslash + 2
        case UInt8(ascii: "u"):
            // A lone surrogate is within the grammar; who decodes the string decides what it means.
            guard JSONByte.hexadecimal(text, at: backslash + 2) != nil else { fallthrough }
            return backslash + 6
        default:
            throw JSONError(.badEscape, at: backslash, in: text)
        }
    }

    /// Goes on to the next ASCII byte, since text in other scripts comes in runs.
    private static func nonASCII(_ text: Span<UInt8>, from start: Int) throws(JSONError) -> Int {
        var index = start
        while index < text.count, text[index] >= 0x80 {
            let width = sequenceWidth(text, at: index)
            guard width > 0 else { throw JSONError(.invalidUTF8, at: index, in: text) }
            index &+= width
        }
        return index
    }

    /// The length of the sequence that begins at `index` with a byte that is not ASCII, 0 if it is not well formed:
    /// table 3-7 of the Unicode standard, where the second byte's range keeps overlong forms and surrogates out.
    @inline(__always)
    private static func sequenceWidth(_ text: Span<UInt8>, at index: Int) -> Int {
        let first = text[index]
        let width: Int
        var second: ClosedRange<UInt8> = 0x80...0xBF
        switch first {
        case 0xC2...0xDF: width = 2
        case 0xE0: (width, second) = (3, 0xA0...0xBF)
        case 0xED: (width, second) = (3, 0x80...0x9F)
        case 0xE1...0xEF: width = 3
        case 0xF0: (width, second) = (4, 0x90...0xBF)
        case 0xF1...0xF3: width = 4
        case 0xF4: (width, second) = (4, 0x80...0x8F)
        default: return 0
        }
        guard index &+ width <= text.count, second.contains(text[index &+ 1]) else { return 0 }
        if width > 2, text[index &+ 2] & 0xC0 != 0x80 { return 0 }
        if width > 3, text[index &+ 3] & 0xC0 != 0x80 { return 0 }
        return width
    }
}
