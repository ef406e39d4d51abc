import Testing

@testable import InferqCore

struct WholeCharactersTests {
    @Test(arguments: ["a", "é", "\u{20AC}", "\u{1F600}", "a\u{1F600}é"])
    func aTornCharacterIsLeftOut(_ text: String) {
        let bytes = Array(text.utf8)
        for count in 0...bytes.count {
            let whole = bytes.prefix(count).countOfWholeCharacters
            #expect(String(validating: bytes.prefix(whole), as: UTF8.self) != nil)
            #expect(count - whole < 4 && text.utf8.starts(with: bytes.prefix(whole)))
        }
        #expect(bytes.countOfWholeCharacters == bytes.count)
    }

    @Test(arguments: [[0xFF], [0x80, 0x80, 0x80, 0x80], [0x61, 0xC0], [0xC3, 0x28]] as [[UInt8]])
    func bytesThatAreNoCharacterStay(_ bytes: [UInt8]) {
        #expect(bytes.countOfWholeCharacters == bytes.count)
    }
}
