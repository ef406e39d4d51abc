/// The bytes that JSON's grammar knows, and the two searches that every pass over a string is made of.
enum JSONByte {
    static let quote = UInt8(ascii: "\"")
    static let backslash = UInt8(ascii: "\\")
    static let comma = UInt8(ascii: ",")
    static let colon = UInt8(ascii: ":")
    static let openBrace = UInt8(ascii: "{")
    static let closeBrace = UInt8(ascii: "}")
    static let openBracket = UInt8(ascii: "[")
    static let closeBracket = UInt8(ascii: "]")
    static let minus = UInt8(ascii: "-")
    static let space = UInt8(ascii: " ")

    /// The first index from `start` on that is not white space, or the end of the text.
    @inline(__always)
    static func skipWhiteSpace(_ text: Span<UInt8>, from start: Int) -> Int {
        var index = start
        while index < text.count {
            // Most texts have none, so one comparison decides.
            guard text[index] <= space, isWhiteSpace(text[index]) else { return index }
            index += 1
        }
        return index
    }

    @inline(__always)
    static func isWhiteSpace(_ byte: UInt8) -> Bool {
        byte == space || byte == 0x0A || byte == 0x0D || byte == 0x09
    }

    @inline(__always)
    static func isDigit(_ byte: UInt8) -> Bool {
        byte &- UInt8(ascii: "0") < 10
    }

    /// What four hexadecimal digits say, or nil if one of them is none; a letter may be of either case.
    static func hexadecimal(_ text: Span<UInt8>, at start: Int) -> UInt32? {
        guard start + 4 <= text.count else { return nil }
        var value: UInt32 = 0
        for index in start..<start + 4 {
            switch text[index] {
            case let byte where isDigit(byte): value = value << 4 | UInt32(byte - UInt8(ascii: "0"))
            case let byte where (byte | 0x20) &- UInt8(ascii: "a") < 6:
                value = value << 4 | UInt32((byte | 0x20) - UInt8(ascii: "a") + 10)
            default: return nil
            }
        }
        return value
    }

    /// The first index from `start` on that holds a quote, a backslash, a control character or a byte that is
    /// not ASCII, or the end of the text.
    @inline(__always)
    static func skipPlain(_ text: Span<UInt8>, from start: Int) -> Int {
        var index = start
        while index &+ 8 <= text.count {
            let word = word(text, at: index)
            let stops = (quotesAndBackslashes(word) | ((word &- 0x20 &* ones) & ~word) | word) & highs
            guard stops == 0 else { return index &+ stops.trailingZeroBitCount / 8 }
            index &+= 8
        }
        while index < text.count, text[index] &- space < 0x60, text[index] != quote, text[index] != backslash {
            index += 1
        }
        return index
    }

    /// The first index from `start` on that holds a quote or a backslash, or the end of the text.
    @inline(__always)
    static func skipToQuoteOrBackslash(_ text: Span<UInt8>, from start: Int) -> Int {
        var index = start
        while index &+ 8 <= text.count {
            let stops = quotesAndBackslashes(word(text, at: index)) & highs
            guard stops == 0 else { return index &+ stops.trailingZeroBitCount / 8 }
            index &+= 8
        }
        while index < text.count, text[index] != quote, text[index] != backslash { index += 1 }
        return index
    }

    // Eight bytes are looked at in one word. `(x - 1) & ~x` has the high bit of every byte of x that is zero, and
    // perhaps of bytes above such a one (the borrow), so that the lowest bit set is always right.
    private static let ones: UInt64 = 0x0101_0101_0101_0101
    private static let highs: UInt64 = 0x8080_8080_8080_8080

    @inline(__always)
    private static func word(_ text: Span<UInt8>, at index: Int) -> UInt64 {
        // "Unsafe" is the type only, and every pattern of bits is a UInt64; the bounds are checked.
        UInt64(littleEndian: text.bytes.unsafeLoadUnaligned(fromByteOffset: index, as: UInt64.self))
    }

    @inline(__always)
    private static func quotesAndBackslashes(_ word: UInt64) -> UInt64 {
        let quotes = word ^ (UInt64(quote) &* ones)
        let backslashes = word ^ (UInt64(backslash) &* ones)
        return ((quotes &- ones) & ~quotes) | ((backslashes &- ones) & ~backslashes)
    }
}
