/// A time-ordered identifier (RFC 9562, version 7): 48 bits of milliseconds, 12 bits of counter, 16 bits that name the
/// store (section 6.4 there, a node ID), 46 random bits.
///
/// A job has two of them, `id` and `event_id`, that share all but their random bits. So one integer, the ``JobKey``, finds
/// the row of either, and the primary key is the only index that a submit touches.
package struct UUIDv7: Sendable, Hashable {
    package let high: UInt64
    package let low: UInt64

    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// Puts time, counter and random bits in their places.
    package init(key: JobKey, tag: UInt16, random: UInt64) {
        let value = UInt64(bitPattern: key.value)
        high = ((value >> 12) << 16) | 0x7000 | (value & 0xFFF)
        low = 0x8000_0000_0000_0000 | UInt64(tag) << 46 | (random & 0x3FFF_FFFF_FFFF)
    }

    /// Names the store that made it, among those of one site: see ``InstanceID``.
    package var tag: UInt16 { UInt16(truncatingIfNeeded: low >> 46) }

    /// Reads the canonical form of any version, upper or lower case. Nil for everything else.
    package init?(_ text: some StringProtocol) {
        // The one copy makes a slice's bytes contiguous; a `String`'s own are so already.
        var text = String(text)
        let halves = text.withUTF8 { Self.halves($0) }
        guard let halves else { return nil }
        (high, low) = halves
    }

    private static func halves(_ bytes: UnsafeBufferPointer<UInt8>) -> (UInt64, UInt64)? {
        guard bytes.count == 36 else { return nil }
        var halves: (UInt64, UInt64) = (0, 0)
        var digits = 0
        for index in 0..<36 {
            let byte = bytes[index]
            if index == 8 || index == 13 || index == 18 || index == 23 {
                guard byte == UInt8(ascii: "-") else { return nil }
                continue
            }
            let digit: UInt8
            switch byte {
            case 48...57: digit = byte - 48
            case 65...70: digit = byte - 55
            case 97...102: digit = byte - 87
            default: return nil
            }
            if digits < 16 {
                halves.0 = halves.0 << 4 | UInt64(digit)
            } else {
                halves.1 = halves.1 << 4 | UInt64(digit)
            }
            digits += 1
        }
        return halves
    }

    /// Where a job with this identifier would be stored.
    package var key: JobKey {
        JobKey(value: Int64(bitPattern: ((high >> 16) << 12) | (high & 0xFFF)))
    }

    /// Bytes of the canonical form.
    package static let textLength = 36

    /// Appends the bytes of the canonical form, in lower case.
    package func append(to out: inout OutputSpan<UInt8>) {
        out.withUnsafeMutableBufferPointer { buffer, count in
            let text = UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[count...])
            precondition(text.count >= Self.textLength, "no room for an identifier")
            func put(_ digits: UInt64, at position: Int) {
                text.storeBytes(of: digits.bigEndian, toByteOffset: position, as: UInt64.self)
            }
            let (middle, later) = (Self.digits(high), Self.digits(low >> 32))
            // Eight digits at a time; those that come too far to the left are written over by what follows.
            put(Self.digits(high >> 32), at: 0)
            put(middle, at: 9)
            put(middle << 32, at: 14)
            put(later, at: 19)
            put(later << 32, at: 24)
            put(Self.digits(low), at: 28)
            for position in [8, 13, 18, 23] { text[position] = UInt8(ascii: "-") }
            count += Self.textLength
        }
    }

    /// The eight hexadecimal digits of the lower half of a word, the first one in the highest byte.
    private static func digits(_ value: UInt64) -> UInt64 {
        // Each step moves the upper half of every piece away from its lower half, until each byte has one digit.
        var digits = value & 0xFFFF_FFFF
        digits = (digits | digits << 16) & 0x0000_FFFF_0000_FFFF
        digits = (digits | digits << 8) & 0x00FF_00FF_00FF_00FF
        digits = (digits | digits << 4) & 0x0F0F_0F0F_0F0F_0F0F
        // 1 in each byte of ten or more: those are letters, which lie 39 behind the numerals.
        let letters = ((digits &+ 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101
        return digits &+ 0x3030_3030_3030_3030 &+ letters &* 39
    }
}

extension UUIDv7: CustomStringConvertible {
    package var description: String {
        String(decoding: Array(capacity: Self.textLength) { append(to: &$0) }, as: UTF8.self)
    }
}

/// The primary key of a job: milliseconds since the epoch, shifted by 12 bits, and a counter within the millisecond.
package struct JobKey: Sendable, Hashable, Comparable {
    package let value: Int64

    package init(value: Int64) {
        self.value = value
    }

    /// The time that it carries. Not that of the submission: keys grow when the clock is set back, too.
    package var time: Timestamp {
        Timestamp(milliseconds: value >> 12)
    }

    /// The first key that a job submitted at `moment` could have.
    package static func first(at moment: Timestamp) -> JobKey {
        let bounded = max(0, min(moment.milliseconds, Int64.max >> 12))
        return JobKey(value: bounded << 12)
    }

    package static func < (left: JobKey, right: JobKey) -> Bool {
        left.value < right.value
    }
}
