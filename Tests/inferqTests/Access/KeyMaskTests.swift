import InferqCore
import Testing

@testable import inferq

struct KeyMaskTests {
    @Test(arguments: [
        ("", ""), ("infq_", "infq_"), ("infq_NAME", "infq_NAME"), ("deadbeef", "deadbeef"),
        ("a infq_0123456789 b", "a infq_*** b"), ("xinfq_01234567", "xinfq_***"),
        ("\"infq_01234567…\"", "\"infq_***…\""),
        (String(repeating: "a", count: 32), "aaaaaaaa***"),
        (String(repeating: "a", count: 31), String(repeating: "a", count: 31)),
        (String(repeating: "A", count: 32), String(repeating: "A", count: 32)),
        ("é" + String(repeating: "0", count: 64), "é00000000***"),
    ])
    func whatLooksLikeAKeyIsCutShort(_ text: String, _ shown: String) {
        #expect(text.withoutKeys() == shown)
    }
}
