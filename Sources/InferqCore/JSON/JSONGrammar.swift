/// The one strict pass over a whole text. It does not call itself and keeps its stack in one register, so that a
/// hostile text costs no more than its length.
enum JSONGrammar {
    /// As many containers as the stack of bits can hold.
    static let deepest = UInt128.bitWidth

    static func document(
        _ text: Span<UInt8>,
        maxDepth: Int,
        into members: inout JSONMemberList
    ) throws(JSONError) -> JSONKind {
        precondition((0...deepest).contains(maxDepth), "the stack of bits holds 128 levels")
        var index = JSONByte.skipWhiteSpace(text, from: 0)
        guard index < text.count, let kind = JSONKind(first: text[index]) else {
            throw JSONError(expected: .value, at: index, in: text)
        }
        var depth = 0
        // The lowest bit is the innermost container: 1 for an object, 0 for an array.
        var stack: UInt128 = 0
        var expected = JSONError.Expected.value

        value: while true {
            index = JSONByte.skipWhiteSpace(text, from: index)
            guard index < text.count else { throw JSONError(expected: expected, at: index, in: text) }
            switch text[index] {
            case JSONByte.quote:
                index = try JSONLexer.string(text, from: index + 1)
            case JSONByte.openBrace:
                guard depth < maxDepth else { throw JSONError(.tooDeep(limit: maxDepth), at: index, in: text) }
                depth += 1
                stack = stack << 1 | 1
                index = JSONByte.skipWhiteSpace(text, from: index + 1)
                guard index < text.count, text[index] == JSONByte.closeBrace else {
                    if depth == 1 { members.begin(at: index) }
                    index = try name(text, from: index, expected: .nameOrBrace)
                    if depth == 1 { members.beginValue(text, from: index) }
                    expected = .value
                    continue value
                }
            case JSONByte.openBracket:
                guard depth < maxDepth else { throw JSONError(.tooDeep(limit: maxDepth), at: index, in: text) }
                depth += 1
                stack <<= 1
                index = JSONByte.skipWhiteSpace(text, from: index + 1)
                guard index < text.count, text[index] == JSONByte.closeBracket else {
                    expected = .valueOrBracket
                    continue value
                }
            case JSONByte.minus, UInt8(ascii: "0")...UInt8(ascii: "9"):
                index = try JSONLexer.number(text, from: index)
            case UInt8(ascii: "t"):
                index = try JSONLexer.literal("true", .literalTrue, text, from: index)
            case UInt8(ascii: "f"):
                index = try JSONLexer.literal("false", .literalFalse, text, from: index)
            case UInt8(ascii: "n"):
                index = try JSONLexer.literal("null", .literalNull, text, from: index)
            default:
                throw JSONError(expected: expected, at: index, in: text)
            }

            expected = .value

            // Behind a value, or at the closing byte of an empty container.
            while depth > 0 {
                let isObject = stack & 1 == 1
                if depth == 1, isObject { members.end(at: index, text) }
                index = JSONByte.skipWhiteSpace(text, from: index)
                let byte = index < text.count ? text[index] : 0
                if byte == JSONByte.comma {
                    index += 1
                    if isObject {
                        index = JSONByte.skipWhiteSpace(text, from: index)
                        if depth == 1 { members.begin(at: index) }
                        index = try name(text, from: index, expected: .name)
                        if depth == 1 { members.beginValue(text, from: index) }
                    }
                    continue value
                }
                guard byte == (isObject ? JSONByte.closeBrace : JSONByte.closeBracket) else {
                    throw JSONError(expected: isObject ? .commaOrBrace : .commaOrBracket, at: index, in: text)
                }
                index += 1
                depth -= 1
                stack >>= 1
            }
            break
        }

        index = JSONByte.skipWhiteSpace(text, from: index)
        guard index == text.count else { throw JSONError(expected: .end, at: index, in: text) }
        return kind
    }

    /// Reads a member's name and the colon.
    @inline(__always)
    private static func name(
        _ text: Span<UInt8>,
        from start: Int,
        expected: JSONError.Expected
    ) throws(JSONError) -> Int {
        guard start < text.count, text[start] == JSONByte.quote else {
            throw JSONError(expected: expected, at: start, in: text)
        }
        var index = try JSONLexer.string(text, from: start + 1)
        index = JSONByte.skipWhiteSpace(text, from: index)
        guard index < text.count, text[index] == JSONByte.colon else {
            throw JSONError(expected: .colon, at: index, in: text)
        }
        return index + 1
    }
}
