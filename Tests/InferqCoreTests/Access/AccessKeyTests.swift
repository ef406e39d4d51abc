import Crypto
import Testing

@testable import InferqCore

/// The form of a key, as docs and scanners of secrets have it.
struct AccessKeyTests {
    @Test(arguments: [
        ("", 0), ("123456789", 0xCBF4_3926), ("a", 0xE8B7_BE43),
        ("The quick brown fox jumps over the lazy dog", 0x414F_A339),
    ])
    func theChecksumIsThatOfIEEE(_ text: String, _ check: UInt32) {
        #expect(AccessKey.crc32(Array(text.utf8)) == check)
    }

    @Test(arguments: [
        ([], 3, "000"), ([0], 1, "0"), ([61], 1, "z"), ([62], 2, "10"), ([0, 0, 0, 35], 6, "00000Z"),
        ([0xFF, 0xFF, 0xFF, 0xFF], 6, "4gfFC3"),
    ])
    func aNumberIsWrittenWithZerosBeforeIt(_ number: [UInt8], _ count: Int, _ digits: String) {
        #expect(String(decoding: AccessKey.base62(number, count: count), as: UTF8.self) == digits)
    }

    @Test
    func theLargestNumberHasRoom() {
        let digits = AccessKey.base62([UInt8](repeating: 0xFF, count: 32), count: 44)
        #expect(digits.first == UInt8(ascii: "0") && digits[1] != UInt8(ascii: "0"))
    }

    @Test
    func aNewKeyReadsBack() throws {
        for _ in 0..<200 {
            let key = AccessKey()
            #expect(key.text.utf8.count == AccessKey.byteCount && key.text.hasPrefix("infq_"))
            #expect(try #require(AccessKey(key.text)).digest == key.digest)
        }
        #expect(Set((0..<200).map { _ in AccessKey().text }).count == 200)
    }

    @Test
    func everyWrongDigitIsFound() {
        let text = Array(AccessKey().text.utf8)
        for index in text.indices {
            for other in "0Zz-é\u{0}_".utf8 where other != text[index] {
                var changed = text
                changed[index] = other
                #expect(AccessKey(String(decoding: changed, as: UTF8.self)) == nil)
            }
        }
    }

    @Test
    func swappedDigitsAreFound() {
        let text = Array(AccessKey().text.utf8)
        for index in AccessKey.prefix.utf8.count..<(text.count - 1) where text[index] != text[index + 1] {
            var changed = text
            changed.swapAt(index, index + 1)
            #expect(AccessKey(String(decoding: changed, as: UTF8.self)) == nil)
        }
    }

    @Test
    func anyOtherTextIsNoKey() {
        let key = AccessKey().text
        let digits = String(key.dropFirst(5))
        for text in [
            "", "infq_", digits, key + "0", String(key.dropLast()), " " + key, key + "\n", key.uppercased(),
            "infq-" + digits, "INFQ_" + digits, key.replacing("_", with: "\u{FF3F}"),
            "infq_" + String(repeating: "0", count: 48),
        ] {
            #expect(AccessKey(text) == nil)
        }
        // All zeros are a number like any other, with the checksum that belongs to it.
        let zeros = [UInt8](repeating: UInt8(ascii: "0"), count: 43)
        #expect(AccessKey("infq_" + String(decoding: zeros + AccessKey.checksum(of: zeros), as: UTF8.self)) != nil)
    }

    @Test
    func arbitraryTextsNeverTrap() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<20_000 {
            let length = Int.random(in: 0...60, using: &random)
            let bytes = (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) }
            #expect(AccessKey(String(decoding: bytes, as: UTF8.self)) == nil)
            let tail = bytes.map { AccessKey.base62([$0 % 62], count: 1)[0] }
            #expect(AccessKey("infq_" + String(decoding: tail, as: UTF8.self).prefix(48)) == nil)
        }
    }

    @Test
    func theDigestIsThatOfTheWholeKey() throws {
        let key = AccessKey()
        let digest = SHA256.hash(data: Array(key.text.utf8)).map { byte in
            (byte < 16 ? "0" : "") + String(byte, radix: 16)
        }.joined()
        #expect(key.digest.hex == digest)
        #expect(key.digest.id == String(digest.prefix(8)))
        #expect(try #require(KeyDigest(hex: digest)) == key.digest)
        for wrong in ["", digest.uppercased(), String(digest.dropLast()), digest + "0", "g" + digest.dropFirst()]
        where wrong != digest {
            #expect(KeyDigest(hex: wrong) == nil)
        }
    }
}
