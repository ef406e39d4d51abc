/// JSON's ASCII form: what every line of an event stream is made of, since U+2028, U+0085 and others end a line for
/// some readers of it.
enum JSONCompact {
    /// Appends valid JSON without insignificant white space and with `\u` escapes for all that is not ASCII.
    static func append(_ text: Span<UInt8>, _ range: Range<Int>, to out: inout [UInt8]) {
        // All that is between `start` and `index` is to be copied as it is, in one go.
        var start = range.lowerBound
        var index = start
        while index < range.upperBound {
            let byte = text[index]
            if byte == JSONByte.quote {
                index = JSONByte.skipPlain(text, from: index + 1)
                while text[index] != JSONByte.quote {
                    if text[index] == JSONByte.backslash {
                        index += 2
                    } else {
                        JSONText.append(text, start..<index, to: &out)
                        index = appendNonASCII(text, from: index, to: &out)
                        start = index
                    }
                    index = JSONByte.skipPlain(text, from: index)
                }
                index += 1
            } else if byte <= JSONByte.space {
                JSONText.append(text, start..<index, to: &out)
                index = JSONByte.skipWhiteSpace(text, from: index + 1)
                start = index
            } else {
                index += 1
            }
        }
        if start < range.upperBound { JSONText.append(text, start..<range.upperBound, to: &out) }
    }

    /// Appends the content of a string from `start` on, UTF-8 that is not JSON yet, with every escape that it needs.
    static func appendEscaped(_ text: Span<UInt8>, from start: Int, to out: inout [UInt8]) {
        var start = start
        while true {
            let index = JSONByte.skipPlain(text, from: start)
            JSONText.append(text, start..<index, to: &out)
            guard index < text.count else { return }
            start = index + 1
            switch text[index] {
            case JSONByte.quote, JSONByte.backslash: appendShort(text[index], to: &out)
            case 0x08: appendShort(UInt8(ascii: "b"), to: &out)
            case 0x09: appendShort(UInt8(ascii: "t"), to: &out)
            case 0x0A: appendShort(UInt8(ascii: "n"), to: &out)
            case 0x0C: appendShort(UInt8(ascii: "f"), to: &out)
            case 0x0D: appendShort(UInt8(ascii: "r"), to: &out)
            case let byte where byte < 0x20: appendUnit(UInt16(byte), to: &out)
            default: start = appendNonASCII(text, from: index, to: &out)
            }
        }
    }

    private static func appendNonASCII(_ text: Span<UInt8>, from start: Int, to out: inout [UInt8]) -> Int {
        var index = start
        while index < text.count, text[index] >= 0x80 {
            let scalar = JSONLexer.scalar(text, at: index) ?? "\u{FFFD}"
            for unit in scalar.utf16 { appendUnit(unit, to: &out) }
            index += scalar.utf8.count
        }
        return index
    }

    private static func appendShort(_ letter: UInt8, to out: inout [UInt8]) {
        out.append(JSONByte.backslash)
        out.append(letter)
    }

    private static func appendUnit(_ unit: UInt16, to out: inout [UInt8]) {
        out.append(JSONByte.backslash)
        out.append(UInt8(ascii: "u"))
        for shift: UInt16 in [12, 8, 4, 0] {
            let digit = UInt8(unit >> shift & 0xF)
            out.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
        }
    }
}
