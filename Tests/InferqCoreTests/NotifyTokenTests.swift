import TestSupport
import Testing

@testable import InferqCore

struct NotifyTokenTests {
    private let key = SigningKey(Array(repeating: UInt8(7), count: 32))
    private let token = NotifyToken(Job.sample().key, Job.Lease(number: 12))

    @Test
    func aTokenIsReadBack() {
        #expect(NotifyToken(token.text(key), key) == token)
    }

    @Test
    func everyChangedCharacterIsRefused() {
        let text = Array(token.text(key).utf8)
        for index in text.indices {
            // Also the other case of a letter, which stands for the same digit.
            for byte in Array("0123456789abcdefzAFZ.+- ".utf8) where byte != text[index] {
                var changed = text
                changed[index] = byte
                #expect(NotifyToken(String(decoding: changed, as: UTF8.self), key) == nil)
            }
        }
    }

    @Test
    func aLongerOrShorterTextIsRefused() {
        let text = token.text(key)
        for changed in [String(text.dropLast()), String(text.dropFirst()), text + "0", "0" + text, "+" + text, ""] {
            #expect(NotifyToken(changed, key) == nil)
        }
    }

    @Test
    func anotherSecretRefuses() {
        #expect(NotifyToken(token.text(key), SigningKey(Array(repeating: UInt8(8), count: 32))) == nil)
    }

    @Test
    func everyAttemptHasATokenOfItsOwn() {
        let other = NotifyToken(token.job, Job.Lease(number: 13))
        #expect(other.text(key) != token.text(key))
    }

    @Test
    func aTokenFitsAHeader() {
        #expect(token.text(key).utf8.allSatisfy { (0x21...0x7E).contains($0) })
    }
}
