import InferqCore

/// The `Retry-After` field (RFC 9110, section 10.2.3): seconds, or a date.
enum RetryAfter {
    /// Nil for a field that is missing or malformed; a date that has passed is no pause.
    static func duration(_ field: String?, now: Timestamp) -> Duration? {
        guard let text = field?.trimmingSpaces, !text.isEmpty else { return nil }
        if let seconds = Int(saturating: text) { return seconds >= 0 ? .seconds(min(seconds, longest)) : nil }
        return HTTPDate.moment(text, now: now).map { max($0 - now, .zero) }
    }

    /// Seconds; far past the longest pause that is made, and far from any overflow.
    private static let longest = 1_000_000
}

/// Dates of HTTP, in the three forms that a recipient must read (RFC 9110, section 5.6.7). The day of the week is not
/// compared with the date.
enum HTTPDate {
    /// - Parameter now: decides the century of a year of two digits.
    static func moment(_ text: String, now: Timestamp) -> Timestamp? {
        let words = text.split(separator: " ").map(String.init)
        guard let first = words.first else { return nil }
        if first.hasSuffix(",") {
            guard words.last == "GMT" || words.last == "UTC" else { return nil }
            switch words.count {
            // Sun, 06 Nov 1994 08:49:37 GMT
            case 6 where words[3].utf8.count == 4: return moment(words[3], words[2], words[1], words[4])
            // Sunday, 06-Nov-94 08:49:37 GMT
            case 4: return obsolete(words[1], words[2], now)
            default: return nil
            }
        }
        // Sun Nov  6 08:49:37 1994
        guard words.count == 5, words[4].utf8.count == 4 else { return nil }
        let day = words[2].utf8.count == 1 ? "0" + words[2] : words[2]
        return moment(words[4], words[1], day, words[3])
    }

    /// A year that seems to lie more than 50 years ahead is the last one with these two digits.
    private static func obsolete(_ date: String, _ time: String, _ now: Timestamp) -> Timestamp? {
        let parts = date.split(separator: "-", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 3, parts[2].utf8.count == 2, parts[2].first != "+",
            let year = UInt8(parts[2]).map(Int.init),
            let thisYear = Int(now.rfc3339.prefix(4))
        else { return nil }
        var full = thisYear - thisYear % 100 + year
        // Also over the turn of a century: 01 read in 2099 is near, and 99 read in 2101 is past.
        if full < thisYear - 50 { full += 100 }
        if full > thisYear + 50 { full -= 100 }
        return moment(String(full), parts[1], parts[0], time)
    }

    private static func moment(_ year: String, _ month: String, _ day: String, _ time: String) -> Timestamp? {
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        guard day.utf8.count == 2, time.utf8.count == 8, let index = months.firstIndex(of: month) else { return nil }
        let number = index < 9 ? "0\(index + 1)" : "\(index + 1)"
        return Timestamp(rfc3339: "\(year)-\(number)-\(day)T\(time)Z")
    }
}
