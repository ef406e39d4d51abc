#if canImport(Glibc)
    import Glibc
#endif

/// Searches that every byte of a stream passes through.
extension Span where Element == UInt8 {
    /// The first index from `start` on that holds the byte, or the end.
    func firstIndex(of byte: UInt8, from start: Int) -> Int {
        withUnsafeBytes { bytes in
            // proof: `start` is at most the count, so that the bytes which memchr reads are the span's.
            precondition((0...bytes.count).contains(start))
            guard start < bytes.count, let base = bytes.baseAddress,
                let found = memchr(base + start, Int32(byte), bytes.count - start)
            else { return bytes.count }
            return UnsafeRawPointer(found) - base
        }
    }

    func starts(with text: StaticString) -> Bool {
        count >= text.utf8CodeUnitCount && holds(text, at: 0)
    }

    func isEqual(to text: StaticString) -> Bool {
        count == text.utf8CodeUnitCount && holds(text, at: 0)
    }

    /// Whether a string of JSON is written here and says something: it is no name of a member that is null or false.
    ///
    /// That nearly all frames hold none of the strings that decide something is seen here, without reading JSON.
    ///
    /// - Parameter quoted: the string with its quotes, and without escapes.
    func mentions(_ quoted: StaticString) -> Bool {
        var index = 0
        while true {
            index = firstIndex(of: quoted, from: index)
            guard index < count else { return false }
            index += quoted.utf8CodeUnitCount
            let colon = JSONByte.skipWhiteSpace(self, from: index)
            guard colon < count, self[colon] == JSONByte.colon else { return true }
            let value = JSONByte.skipWhiteSpace(self, from: colon + 1)
            let isNothing = value < count && (self[value] == UInt8(ascii: "n") || self[value] == UInt8(ascii: "f"))
            guard isNothing else { return true }
        }
    }

    /// The first index from `start` on at which the string stands, or the end.
    private func firstIndex(of quoted: StaticString, from start: Int) -> Int {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let quotes = UInt64(JSONByte.quote) &* ones
        let last = quoted.utf8CodeUnitCount - 1
        var index = start
        // Eight places at a time: the string can begin only where a quote is, and another one where it would end.
        while index &+ last &+ 8 <= count {
            let others = (word(at: index) ^ quotes) | (word(at: index &+ last) ^ quotes)
            // As in JSONByte, the lowest bit set is right.
            let places = (others &- ones) & ~others & (ones << 7)
            guard places != 0 else {
                index &+= 8
                continue
            }
            index &+= places.trailingZeroBitCount / 8
            if holds(quoted, at: index) { return index }
            index &+= 1
        }
        while index + last < count {
            if holds(quoted, at: index) { return index }
            index += 1
        }
        return count
    }

    private func word(at index: Int) -> UInt64 {
        // "Unsafe" is the type only, and every pattern of bits is a UInt64; the bounds are checked.
        UInt64(littleEndian: bytes.unsafeLoadUnaligned(fromByteOffset: index, as: UInt64.self))
    }

    private func holds(_ text: StaticString, at index: Int) -> Bool {
        guard index + text.utf8CodeUnitCount <= count else { return false }
        for offset in 0..<text.utf8CodeUnitCount where self[index + offset] != text.utf8Start[offset] {
            return false
        }
        return true
    }
}
