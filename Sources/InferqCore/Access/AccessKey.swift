import Crypto

/// A client's key: `infq_`, 43 base62 digits that hold 256 random bits, and 6 that hold their checksum, so that a scanner
/// tells a key from other text without asking anybody, and a mistyped one is refused without hashing.
package struct AccessKey: Sendable {
    package let text: String

    package static let prefix = "infq_"
    private static let bitDigits = 43
    private static let checkDigits = 6
    /// Of every key, in bytes.
    package static let byteCount = prefix.utf8.count + bitDigits + checkDigits

    /// A new one.
    package init() {
        let bits = SymmetricKey(size: .bits256).withUnsafeBytes { Array($0) }
        let digits = Self.base62(bits, count: Self.bitDigits)
        text = Self.prefix + String(decoding: digits + Self.checksum(of: digits), as: UTF8.self)
    }

    /// Nil for a text that is not a key: its form or its checksum is wrong.
    package init?(_ text: String) {
        self.text = text
        let isKey = self.text.withContiguousBytes { bytes in
            bytes.count == Self.byteCount && bytes.starts(with: Self.prefix.utf8)
                && Self.isSound(bytes[Self.prefix.utf8.count...])
        }
        guard isKey else { return nil }
    }

    /// SHA-256 of the whole key: what is stored.
    package var digest: KeyDigest {
        var hash = SHA256()
        text.withContiguousBytes { hash.update(bufferPointer: UnsafeRawBufferPointer($0)) }
        return KeyDigest(hash.finalize())
    }

    /// Whether all are digits, and the last ones the checksum of the others. Every request with a key comes through here.
    private static func isSound(_ digits: Slice<UnsafeBufferPointer<UInt8>>) -> Bool {
        let values = values
        guard digits.allSatisfy({ values[Int($0)] < 62 }) else { return false }
        let check = digits.suffix(checkDigits).reduce(UInt64(0)) { $0 * 62 + UInt64(values[Int($1)]) }
        return check == UInt64(crc32(digits.prefix(bitDigits)))
    }

    /// 0-9, A-Z, a-z.
    private static let alphabet = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)

    /// The value of each digit, by its byte; 255 for a byte that is none.
    private static let values = (UInt8.min...UInt8.max).map { byte in
        alphabet.firstIndex(of: byte).map { UInt8($0) } ?? .max
    }

    /// A big-endian number in base62, the most significant digit first, with zeros before it.
    static func base62(_ number: [UInt8], count: Int) -> [UInt8] {
        var number = number
        var digits: [UInt8] = []
        for _ in 0..<count {
            var rest = 0
            for index in number.indices {
                let value = rest << 8 | Int(number[index])
                number[index] = UInt8(value / 62)
                rest = value % 62
            }
            digits.append(alphabet[rest])
        }
        return digits.reversed()
    }

    static func checksum(of digits: [UInt8]) -> [UInt8] {
        let check = crc32(digits)
        return base62([24, 16, 8, 0].map { UInt8(truncatingIfNeeded: check >> $0) }, count: checkDigits)
    }

    /// CRC-32 of IEEE 802.3: the reflected polynomial 0xEDB88320, with all bits turned over before and after.
    static func crc32(_ bytes: some Sequence<UInt8>) -> UInt32 {
        let remainders = remainders
        return ~bytes.reduce(~0) { remainders[Int(UInt8(truncatingIfNeeded: $0) ^ $1)] ^ $0 >> 8 }
    }

    /// Of each byte, eight steps of the division at once.
    private static let remainders = (UInt32(0)..<256).map { byte in
        (0..<8).reduce(byte) { check, _ in check & 1 == 1 ? check >> 1 ^ 0xEDB8_8320 : check >> 1 }
    }
}

extension String {
    /// Its UTF-8, in place: nearly every string is stored so.
    fileprivate func withContiguousBytes<Value>(_ body: (UnsafeBufferPointer<UInt8>) -> Value) -> Value {
        var text = self
        return text.withUTF8(body)
    }
}

/// SHA-256 of a key.
package struct KeyDigest: Sendable, Hashable {
    /// Its 32 bytes, as they are in memory.
    private let words: SIMD4<UInt64>

    init(_ digest: SHA256Digest) {
        words = digest.withUnsafeBytes { $0.loadUnaligned(as: SIMD4<UInt64>.self) }
    }

    /// Nil unless it is 64 lower-case hex digits.
    package init?(hex: String) {
        guard let bytes = Hex.bytes(hex), bytes.count == SHA256.byteCount else { return nil }
        words = bytes.withUnsafeBytes { $0.loadUnaligned(as: SIMD4<UInt64>.self) }
    }

    /// Lower case, 64 digits.
    package var hex: String { withUnsafeBytes(of: words) { Hex.text($0) } }

    /// One word is as evenly spread as all four.
    package func hash(into hasher: inout Hasher) {
        hasher.combine(words.x)
    }

    /// What a key is called: the first 8 hex digits of its digest.
    package var id: String { String(hex.prefix(8)) }
}
