/// Ways through bytes that the grammar has passed already. On other bytes the results mean nothing, and an index
/// past the end stops the program; memory that is not the text's is never read.
enum JSONText {
    /// The index behind the string whose opening quote is at `start`.
    static func endOfString(_ text: Span<UInt8>, at start: Int) -> Int {
        var index = start + 1
        while true {
            index = JSONByte.skipToQuoteOrBackslash(text, from: index)
            if text[index] == JSONByte.quote { return index + 1 }
            index += 2
        }
    }

    /// The index behind the value that begins at `start`.
    static func endOfValue(_ text: Span<UInt8>, at start: Int) -> Int {
        switch text[start] {
        case JSONByte.quote:
            return endOfString(text, at: start)
        case JSONByte.openBrace, JSONByte.openBracket:
            return endOfContainer(text, at: start)
        default:
            var index = start
            while index < text.count, !endsScalar(text[index]) { index += 1 }
            return index
        }
    }

    /// The members of the object that begins at `start`, in order.
    static func forEachMember(
        _ text: Span<UInt8>,
        at start: Int,
        _ visit: (_ name: Range<Int>, _ value: Range<Int>) -> Void
    ) {
        var index = JSONByte.skipWhiteSpace(text, from: start + 1)
        while text[index] != JSONByte.closeBrace {
            if text[index] == JSONByte.comma { index = JSONByte.skipWhiteSpace(text, from: index + 1) }
            let name = index..<endOfString(text, at: index)
            index = JSONByte.skipWhiteSpace(text, from: name.upperBound)
            index = JSONByte.skipWhiteSpace(text, from: index + 1)
            let value = index..<endOfValue(text, at: index)
            visit(name, value)
            index = JSONByte.skipWhiteSpace(text, from: value.upperBound)
        }
    }

    /// The elements of the array that begins at `start`, in order, as long as `visit` returns true.
    static func forEachElement(_ text: Span<UInt8>, at start: Int, _ visit: (Range<Int>) -> Bool) {
        var index = JSONByte.skipWhiteSpace(text, from: start + 1)
        while text[index] != JSONByte.closeBracket {
            if text[index] == JSONByte.comma { index = JSONByte.skipWhiteSpace(text, from: index + 1) }
            let value = index..<endOfValue(text, at: index)
            guard visit(value) else { return }
            index = JSONByte.skipWhiteSpace(text, from: value.upperBound)
        }
    }

    /// What the string token in `range`, quotes included, says.
    static func decoded(_ text: Span<UInt8>, _ range: Range<Int>) -> String {
        let content = text.extracting(range.lowerBound + 1..<range.upperBound - 1)
        var index = JSONByte.skipToQuoteOrBackslash(content, from: 0)
        guard index < content.count else { return string(content) }
        var plain: [UInt8] = []
        plain.reserveCapacity(content.count)
        append(content, 0..<index, to: &plain)
        while index < content.count {
            index = appendEscape(content, at: index, to: &plain)
            let end = JSONByte.skipToQuoteOrBackslash(content, from: index)
            append(content, index..<end, to: &plain)
            index = end
        }
        return String(decoding: plain, as: UTF8.self)
    }

    static func string(_ text: Span<UInt8>) -> String {
        text.withUnsafeBufferPointer { String(decoding: $0, as: UTF8.self) }
    }

    /// Appends bytes as they are. Short runs go one by one: a call of memcpy has a price of its own.
    @inline(__always)
    static func append(_ text: Span<UInt8>, _ range: Range<Int>, to out: inout [UInt8]) {
        if range.count < 4 {
            for index in range { out.append(text[index]) }
        } else {
            text.extracting(range).withUnsafeBufferPointer { out.append(contentsOf: $0) }
        }
    }

    private static func endOfContainer(_ text: Span<UInt8>, at start: Int) -> Int {
        var index = start
        var depth = 0
        repeat {
            switch text[index] {
            case JSONByte.quote:
                index = endOfString(text, at: index)
                continue
            case JSONByte.openBrace, JSONByte.openBracket: depth += 1
            case JSONByte.closeBrace, JSONByte.closeBracket: depth -= 1
            default: break
            }
            index += 1
        } while depth > 0
        return index
    }

    private static func endsScalar(_ byte: UInt8) -> Bool {
        byte <= JSONByte.space || byte == JSONByte.comma || byte == JSONByte.closeBrace
            || byte == JSONByte.closeBracket
    }

    /// Decodes the escape at `start`, two of them if they are a surrogate pair.
    private static func appendEscape(_ text: Span<UInt8>, at start: Int, to out: inout [UInt8]) -> Int {
        switch text[start + 1] {
        case UInt8(ascii: "b"): out.append(0x08)
        case UInt8(ascii: "f"): out.append(0x0C)
        case UInt8(ascii: "n"): out.append(0x0A)
        case UInt8(ascii: "r"): out.append(0x0D)
        case UInt8(ascii: "t"): out.append(0x09)
        case UInt8(ascii: "u"):
            var value = JSONByte.hexadecimal(text, at: start + 2) ?? 0xFFFD
            var end = start + 6
            if value & 0xFC00 == 0xD800, end + 6 <= text.count, text[end] == JSONByte.backslash,
                text[end + 1] == UInt8(ascii: "u"), let low = JSONByte.hexadecimal(text, at: end + 2),
                low & 0xFC00 == 0xDC00
            {
                value = 0x10000 + (value & 0x3FF) << 10 + low & 0x3FF
                end += 6
            }
            out.append(contentsOf: (Unicode.Scalar(value) ?? "\u{FFFD}").utf8)
            return end
        case let byte: out.append(byte)
        }
        return start + 2
    }
}
