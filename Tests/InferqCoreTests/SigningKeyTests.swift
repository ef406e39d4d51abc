import Testing

@testable import InferqCore

struct SigningKeyTests {
    /// RFC 4231, section 4.3, and the same again: signing leaves the key as it was.
    @Test
    func codesAreThoseOfTheStandard() {
        let key = SigningKey(Array("Jefe".utf8))
        for _ in 0..<2 {
            #expect(
                Hex.text(key.code(of: "what do ya want for nothing?", byteCount: 32))
                    == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
        }
        #expect(Hex.text(key.code(of: "what do ya want for nothing?", byteCount: 4)) == "5bdcc146")
    }

    @Test
    func manyMaySignAtATime() async {
        let key = SigningKey(Array(repeating: 7, count: 32))
        let texts = (0..<64).map { String(repeating: "\($0)", count: 100) }
        let alone = texts.map { key.code(of: $0, byteCount: 16) }
        await withTaskGroup { group in
            for (text, code) in zip(texts, alone) {
                group.addTask { for _ in 0..<100 { #expect(key.code(of: text, byteCount: 16) == code) } }
            }
        }
    }
}
