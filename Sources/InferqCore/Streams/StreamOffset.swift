/// A place in the answers of one job: `0002_000000000812` is byte 812 of the answer to the second attempt.
///
/// A byte that was shown at a place stays there forever: attempts are never joined.
package struct StreamOffset: Sendable, Hashable {
    /// The first is 1.
    package let attempt: Int
    /// Bytes of the attempt's answer before it.
    package let byte: Int

    package init(attempt: Int, byte: Int) {
        self.attempt = attempt
        self.byte = byte
    }

    /// Reads what ``text`` writes, with or without leading zeros: clients may compose it. Nil for anything else.
    package init?(_ text: String) {
        let parts = text.split(separator: "_", omittingEmptySubsequences: false)
        guard parts.count == 2, let attempt = Self.number(parts[0]), let byte = Self.number(parts[1]), attempt > 0
        else { return nil }
        self.init(attempt: attempt, byte: byte)
    }

    private static func number(_ digits: Substring) -> Int? {
        guard digits.utf8.count <= 18, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return Int(digits)
    }

    /// `AAAA_BBBBBBBBBBBB`: sorts as text in the order of the bytes, up to attempt 9999 and a terabyte.
    package var text: String {
        Self.padded(attempt, 4) + "_" + Self.padded(byte, 12)
    }

    private static func padded(_ number: Int, _ width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
    }
}
