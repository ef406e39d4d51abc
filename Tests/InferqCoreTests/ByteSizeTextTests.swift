import InferqCore
import Testing

struct ByteSizeTextTests {
    @Test(arguments: [
        ("0", 0), ("512", 512), ("10B", 10), ("64KiB", 65_536), ("16MiB", 16_777_216), ("2GiB", 2_147_483_648),
        ("1TiB", 1_099_511_627_776), ("9223372036854775807", Int.max),
    ])
    func aSizeIsRead(_ text: String, _ expected: Int) {
        #expect(ByteSizeText.parse(text) == expected)
    }

    @Test(arguments: [
        "", "B", "KiB", "-1", "+1", "1 KiB", "64KB", "64kib", "64K", "1.5GiB", "1e3", "9223372036854775808",
        "9007199254740992TiB",
        "٣KiB", "1KiB ", "1PiB",
    ])
    func anythingElseIsRefused(_ text: String) {
        #expect(ByteSizeText.parse(text) == nil)
    }

    @Test(arguments: ["0B", "10B", "1000B", "64KiB", "1025KiB", "16MiB", "2GiB", "1TiB"])
    func aFormattedSizeIsReadBack(_ text: String) throws {
        let bytes = try #require(ByteSizeText.parse(text))
        #expect(ByteSizeText.format(bytes) == text)
    }
}
