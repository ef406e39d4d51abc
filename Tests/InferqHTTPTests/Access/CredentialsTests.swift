import HTTPTypes
import InferqCore
import TestSupport
import Testing

@testable import InferqHTTP

/// What is read of the fields that a key may stand in.
struct CredentialsTests {
    private static let key = AccessKey().text

    private func read(_ fields: (HTTPField.Name, String)...) -> Credentials {
        var headers = HTTPFields()
        for (name, value) in fields { headers.append(HTTPField(name: name, value: value)) }
        return Credentials(headers)
    }

    @Test(arguments: ["Bearer \(key)", "bearer \(key)", "BEARER   \(key)  "])
    func theSchemeIsReadInWhateverCase(_ field: String) {
        #expect(read((.authorization, field)).accessKey?.text == Self.key)
    }

    @Test func bothFieldsWillDo() {
        #expect(read((.xAPIKey, Self.key)).accessKey?.text == Self.key)
        #expect(read((.xAPIKey, Self.key), (.authorization, "Bearer \(Self.key)")).accessKey?.text == Self.key)
        #expect(read() == .none)
    }

    @Test func differentKeysAreTooMany() {
        #expect(read((.xAPIKey, Self.key), (.authorization, "Bearer \(AccessKey().text)")) == .several)
        #expect(read((.xAPIKey, Self.key), (.xAPIKey, AccessKey().text)) == .several)
    }

    @Test(arguments: ["Basic YTpi", "Bearer", "Bear \(key)", key, "", "Digest x=y"])
    func otherSchemesAreNoKeys(_ field: String) {
        #expect(read((.authorization, field)).accessKey == nil)
        #expect(read((.authorization, field)) != .none)
    }

    @Test func nothingLongIsHashed() {
        let long = String(repeating: "x", count: 300_000)
        #expect(read((.authorization, "Bearer \(long)")).accessKey == nil)
        #expect(read((.xAPIKey, long)).accessKey == nil)
    }

    /// No text makes it trap, and none but the key is one.
    @Test func noNoiseIsAKey() {
        var random = SplitMix64(seed: 11)
        for _ in 0..<2000 {
            let count = Int.random(in: 0...80, using: &random)
            let noise = String(
                decoding: (0..<count).map { _ in UInt8.random(in: 32...126, using: &random) }, as: UTF8.self)
            #expect(read((.authorization, noise)).accessKey == nil)
            #expect(read((.authorization, "Bearer \(noise)")).accessKey == nil)
            var bytes = Array(Self.key.utf8)
            let index = Int.random(in: bytes.indices, using: &random)
            let other = UInt8.random(in: 48...122, using: &random)
            guard other != bytes[index] else { continue }
            bytes[index] = other
            #expect(read((.xAPIKey, String(decoding: bytes, as: UTF8.self))).accessKey == nil)
        }
    }
}
