/// Durations as the HTTP contract and the configuration write them: a number of seconds, or a number with a unit.
package enum DurationText {
    /// Ten years of 365 days. Longer ones are typing errors, and a point in time stays far from any overflow.
    package static let longest: Duration = .seconds(3650 * 86_400)

    /// The duration that `text` names: `"30"`, `"250ms"`, `"1.5s"`, `"5m"`, `"2h"`, `"1d"`.
    ///
    /// Digits past the ninth after the point are dropped. Nil for anything else: signs, white space, exponents, other
    /// units, compounds such as `"1h30m"`, and what is longer than ``longest``.
    package static func parse(_ text: String) -> Duration? {
        let bytes = text.utf8
        let whole = bytes.prefix(while: isDigit)
        // Twelve digits are past the longest one in every unit, and keep the products far from overflow.
        guard !whole.isEmpty, whole.count <= 12, let count = Int128(Substring(whole)) else { return nil }
        var rest = bytes[whole.endIndex...]
        var fraction: Int128 = 0
        if rest.first == UInt8(ascii: ".") {
            let digits = rest.dropFirst().prefix(while: isDigit)
            guard let billionths = billionths(digits) else { return nil }
            fraction = billionths
            rest = rest[digits.endIndex...]
        }
        guard let unit = nanoseconds(inUnit: Substring(rest)) else { return nil }
        return bounded(nanoseconds: count * unit + fraction * unit / 1_000_000_000)
    }

    /// The duration of a JSON or TOML number, in seconds. Nil if it is negative, not finite or past ``longest``.
    package static func duration(seconds: Double) -> Duration? {
        guard seconds >= 0, seconds <= 3650 * 86_400 else { return nil }
        return bounded(nanoseconds: Int128((seconds * 1_000_000_000).rounded()))
    }

    /// The shortest text that ``parse(_:)`` reads back, exact to the millisecond: `"5m"`, `"90s"`, `"250ms"`.
    package static func format(_ duration: Duration) -> String {
        let parts = duration.components
        let milliseconds = parts.seconds * 1000 + parts.attoseconds / 1_000_000_000_000_000
        if milliseconds == 0 { return "0s" }
        let units: [(name: String, length: Int64)] = [
            ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000),
        ]
        for unit in units where milliseconds.isMultiple(of: unit.length) {
            return "\(milliseconds / unit.length)\(unit.name)"
        }
        return "\(milliseconds)ms"
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }

    private static func billionths(_ digits: Substring.UTF8View) -> Int128? {
        guard !digits.isEmpty else { return nil }
        let kept = digits.prefix(9)
        return Int128(String(Substring(kept)) + String(repeating: "0", count: 9 - kept.count))
    }

    private static func nanoseconds(inUnit unit: Substring) -> Int128? {
        switch unit {
        case "ms": 1_000_000
        case "", "s": 1_000_000_000
        case "m": 60_000_000_000
        case "h": 3_600_000_000_000
        case "d": 86_400_000_000_000
        default: nil
        }
    }

    private static func bounded(nanoseconds: Int128) -> Duration? {
        let duration = Duration(
            secondsComponent: Int64(nanoseconds / 1_000_000_000),
            attosecondsComponent: Int64(nanoseconds % 1_000_000_000) * 1_000_000_000
        )
        return duration <= longest ? duration : nil
    }
}
