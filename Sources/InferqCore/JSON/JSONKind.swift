/// What a JSON value is.
package enum JSONKind: Sendable, Equatable {
    case object, array, string, number, bool, null

    /// The kind of a value that begins with this byte, or nil if none does.
    init?(first byte: UInt8) {
        switch byte {
        case JSONByte.openBrace: self = .object
        case JSONByte.openBracket: self = .array
        case JSONByte.quote: self = .string
        case JSONByte.minus, UInt8(ascii: "0")...UInt8(ascii: "9"): self = .number
        case UInt8(ascii: "t"), UInt8(ascii: "f"): self = .bool
        case UInt8(ascii: "n"): self = .null
        default: return nil
        }
    }
}
