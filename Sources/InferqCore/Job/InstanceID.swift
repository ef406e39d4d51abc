/// Tells one store from all others, on whichever host it is opened: 128 random bits, made with the store.
///
/// It keeps the keys of several gateways apart in one Redis.
package struct InstanceID: Sendable, Hashable {
    /// 32 hexadecimal digits.
    package let text: String

    /// Nil for everything but 32 hexadecimal digits.
    package init?(_ text: String) {
        guard text.utf8.count == 32, UInt64(text.prefix(16), radix: 16) != nil,
            UInt64(text.suffix(16), radix: 16) != nil
        else { return nil }
        self.text = text
    }

    /// A new one.
    package static func random() -> InstanceID {
        var generator = SystemRandomNumberGenerator()
        return InstanceID(bits: generator.next(), generator.next())
    }

    private init(bits high: UInt64, _ low: UInt64) {
        func hex(_ bits: UInt64) -> String {
            let digits = String(bits, radix: 16)
            return String(repeating: "0", count: 16 - digits.utf8.count) + digits
        }
        text = hex(high) + hex(low)
    }

    /// The part of it that every id of the store's jobs carries, so that another gateway of the site knows whose they are.
    /// Two of a hundred gateways have the same one in 1 of 13 sites (n²/2 pairs in 65,536); a job of theirs is then
    /// looked for in vain (404) where it should be 421.
    package var tag: UInt16 { UInt16(text.prefix(4), radix: 16) ?? 0 }
}
