#if canImport(Glibc)
    import Glibc
#endif

/// A moment of the wall clock in whole milliseconds since 1970-01-01T00:00:00Z: what the store keeps and clients see.
package struct Timestamp: Sendable, Hashable, Comparable {
    package var milliseconds: Int64

    package init(milliseconds: Int64) {
        self.milliseconds = milliseconds
    }

    package static var now: Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(milliseconds: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000)
    }

    package static func < (left: Timestamp, right: Timestamp) -> Bool {
        left.milliseconds < right.milliseconds
    }

    /// Saturates instead of overflowing: the sum stays representable in RFC 3339 (year 9999).
    package static func + (left: Timestamp, right: Duration) -> Timestamp {
        let (sum, overflow) = left.milliseconds.addingReportingOverflow(right.milliseconds)
        return Timestamp(milliseconds: overflow ? latest.milliseconds : min(sum, latest.milliseconds))
    }

    /// Saturates at the ends of `Int64`.
    package static func - (left: Timestamp, right: Duration) -> Timestamp {
        let (rest, overflow) = left.milliseconds.subtractingReportingOverflow(right.milliseconds)
        return Timestamp(milliseconds: overflow ? .min : rest)
    }

    package static func - (left: Timestamp, right: Timestamp) -> Duration {
        .milliseconds(left.milliseconds - right.milliseconds)
    }

    /// 9999-12-31T23:59:59.999Z, the last moment that RFC 3339 can write.
    package static let latest = Timestamp(milliseconds: 253_402_300_799_999)
    /// 0000-01-01T00:00:00Z, the first one.
    private static let earliest = Timestamp(milliseconds: -62_167_219_200_000)
}

extension Duration {
    /// Whole milliseconds, rounded towards zero, saturating at the ends of `Int64`.
    package var milliseconds: Int64 {
        let (seconds, attoseconds) = components
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1000)
        guard !overflow else { return seconds < 0 ? .min : .max }
        let (sum, tooFar) = product.addingReportingOverflow(attoseconds / 1_000_000_000_000_000)
        return tooFar ? (seconds < 0 ? .min : .max) : sum
    }
}

// MARK: RFC 3339

extension Timestamp {
    /// RFC 3339 in UTC with milliseconds: `2026-11-23T16:31:47.123Z`.
    package var rfc3339: String {
        String(decoding: Array(capacity: Self.textLength) { append(to: &$0) }, as: UTF8.self)
    }

    /// Bytes of ``rfc3339``.
    package static let textLength = 24

    /// Appends the bytes of ``rfc3339``. Written by hand: a formatter costs as much as the rest of a record.
    package func append(to out: inout OutputSpan<UInt8>) {
        let days = milliseconds.floorDivided(by: 86_400_000)
        let inDay = Int(milliseconds - days * 86_400_000)
        let (year, month, day) = Self.civil(fromDays: days)
        out.append(twoDigits: year / 100)
        out.append(twoDigits: year % 100)
        out.append(UInt8(ascii: "-"))
        out.append(twoDigits: month)
        out.append(UInt8(ascii: "-"))
        out.append(twoDigits: day)
        out.append(UInt8(ascii: "T"))
        out.append(twoDigits: inDay / 3_600_000)
        out.append(UInt8(ascii: ":"))
        out.append(twoDigits: inDay / 60_000 % 60)
        out.append(UInt8(ascii: ":"))
        out.append(twoDigits: inDay / 1000 % 60)
        out.append(UInt8(ascii: "."))
        out.append(UInt8(truncatingIfNeeded: 48 + inDay % 1000 / 100))
        out.append(twoDigits: inDay % 100)
        out.append(UInt8(ascii: "Z"))
    }

    /// Reads an RFC 3339 date-time with any offset; fractions past the millisecond are cut off. Nil for anything else.
    package init?(rfc3339 text: String) {
        var digits = Array(text.utf8)[...]
        func number(_ count: Int) -> Int? {
            guard digits.count >= count else { return nil }
            var value = 0
            for byte in digits.prefix(count) {
                guard (48...57).contains(byte) else { return nil }
                value = value * 10 + Int(byte - 48)
            }
            digits = digits.dropFirst(count)
            return value
        }
        func skip(_ allowed: StaticString) -> UInt8? {
            guard let first = digits.first else { return nil }
            let isAllowed = allowed.withUTF8Buffer { $0.contains(first) }
            guard isAllowed else { return nil }
            digits = digits.dropFirst()
            return first
        }
        guard let year = number(4), skip("-") != nil, let month = number(2), skip("-") != nil, let day = number(2),
            skip("Tt ") != nil, let hour = number(2), skip(":") != nil, let minute = number(2), skip(":") != nil,
            let second = number(2), (1...12).contains(month), (1...Self.daysInMonth(month, of: year)).contains(day),
            hour < 24, minute < 60, second <= 60
        else { return nil }
        var fraction = 0
        if digits.first == UInt8(ascii: ".") {
            digits = digits.dropFirst()
            let run = digits.prefix { (48...57).contains($0) }
            guard !run.isEmpty else { return nil }
            for index in 0..<3 {
                let digit = index < run.count ? Int(run[run.startIndex + index] - 48) : 0
                fraction = fraction * 10 + digit
            }
            digits = digits.dropFirst(run.count)
        }
        var offset = 0
        guard let zone = skip("Zz+-") else { return nil }
        if zone == UInt8(ascii: "+") || zone == UInt8(ascii: "-") {
            guard let hours = number(2), skip(":") != nil, let minutes = number(2), hours < 24, minutes < 60
            else { return nil }
            offset = (hours * 60 + minutes) * (zone == UInt8(ascii: "+") ? 1 : -1)
        }
        guard digits.isEmpty else { return nil }
        let days = Self.days(fromCivil: year, month, day)
        let seconds = days * 86_400 + Int64(hour * 3600 + (minute - offset) * 60 + second)
        milliseconds = seconds * 1000 + Int64(fraction)
        // An offset may lead out of the years that RFC 3339 can write.
        guard (Self.earliest...Self.latest).contains(self) else { return nil }
    }

    /// Days since the epoch to a date of the proleptic Gregorian calendar (Howard Hinnant, "chrono-compatible
    /// low-level date algorithms", civil_from_days).
    private static func civil(fromDays days: Int64) -> (Int, Int, Int) {
        let shifted = days + 719_468
        let era = shifted.floorDivided(by: 146_097)
        let dayOfEra = Int(shifted - era * 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        return (yearOfEra + Int(era) * 400 + (month <= 2 ? 1 : 0), month, day)
    }

    /// The inverse of ``civil(fromDays:)`` (days_from_civil of the same source).
    private static func days(fromCivil year: Int, _ month: Int, _ day: Int) -> Int64 {
        let shiftedYear = Int64(month <= 2 ? year - 1 : year)
        let era = shiftedYear.floorDivided(by: 400)
        let yearOfEra = shiftedYear - era * 400
        let dayOfYear = Int64((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1)
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }

    private static func daysInMonth(_ month: Int, of year: Int) -> Int {
        switch month {
        case 2: (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }
}

extension Int64 {
    fileprivate func floorDivided(by divisor: Int64) -> Int64 {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? quotient - 1 : quotient
    }
}
