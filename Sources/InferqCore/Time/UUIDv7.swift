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

    /// Appends the 36 bytes of the canonical lower-case form.
    package func append(to bytes: inout [UInt8]) {
        append(high >> 32, 8, to: &bytes)
        bytes.append(UInt8(ascii: "-"))
        append(high >> 16, 4, to: &bytes)
        bytes.append(UInt8(ascii: "-"))
        append(high, 4, to: &bytes)
        bytes.append(UInt8(ascii: "-"))
        append(low >> 48, 4, to: &bytes)
        bytes.append(UInt8(ascii: "-"))
        append(low, 12, to: &bytes)
    }

    /// The lowest `count` hexadecimal digits of `value`.
    private func append(_ value: UInt64, _ count: Int, to bytes: inout [UInt8]) {
        for index in (0..<UInt64(count)).reversed() {
            bytes.append(Self.digit(UInt8(truncatingIfNeeded: value >> (4 * index)) & 15))
        }
    }

    private static func digit(_ value: UInt8) -> UInt8 {
        value < 10 ? 48 + value : 87 + value
    }
}

extension UUIDv7: CustomStringConvertible {
    package var description: String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(36)
        append(to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
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
