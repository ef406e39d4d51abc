import InferqCore
import TestSupport
import Testing

/// Identifiers, times, durations, sizes and pointers from anywhere are read rightly or not at all.
struct TextFuzzTests {
    typealias Numbers = SplitMix64

    private static let seeds = [
        "01935f2e-1c2d-7000-8abc-0123456789ab", "01935F2E-1C2D-7000-8ABC-0123456789AB", "2026-11-23T16:31:47.123Z",
        "2026-02-29T23:59:60+14:00", "0001-01-01T00:00:00Z", "0000-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00", "250ms", "1.5s", "7d", "64KiB", "16MiB",
        "9223372036854775807",
        "/predicted_layers/0/a~1b~0", "",
    ]

    private static let mutation = Mutation(
        pieces: [
            "-", "0", "9", "f", "F", "g", "T", "Z", ":", ".", "+", "e", "ms", "h", "KiB", "TiB", "/", "~", "~0", " ",
            "\u{0}",
            "é", "\u{FF11}", "\u{301}", "99999999999999999999", "-9223372036854775808", "00000000",
        ].map { Array($0.utf8) } + [[0x80], [0xFF]]
    )

    @Test
    func whateverIsReadIsWhatWasMeant() async {
        let time = FuzzTime(share: 0.2)
        var seed = time.seed
        repeat {
            for _ in 0..<1000 {
                seed &+= 1
                var numbers = Numbers(seed: seed)
                var bytes = Array(Self.seeds[Int.random(in: 0..<Self.seeds.count, using: &numbers)].utf8)
                for _ in 0..<Int.random(in: 0...3, using: &numbers) { Self.mutation.mutate(&bytes, &numbers) }
                let text = String(decoding: bytes, as: UTF8.self)
                guard let broken = broken(text) else { continue }
                Issue.record("INFERQ_FUZZ_SEED=\(seed &- 1), \(text.debugDescription): \(broken)")
                return
            }
            await Task.yield()
        } while !time.isOver
    }

    /// The rule that the text breaks, if any.
    private func broken(_ text: String) -> String? {
        let id = UUIDv7(text)
        if (id != nil) != Self.isUUID(text) {
            return "a UUID is 8, 4, 4, 4 and 12 hexadecimal digits, and nothing else is"
        }
        if let id, id.description != text.lowercased() { return "a UUID is shown as it was read, in lower case" }
        if let id, UUIDv7(id.description) != id { return "what is shown can be read" }
        if let time = Timestamp(rfc3339: text) {
            guard let again = Timestamp(rfc3339: time.rfc3339) else { return "a time that is shown can be read" }
            if again != time { return "a time is shown as it was read" }
        }
        if let duration = DurationText.parse(text), duration < .zero { return "no duration is negative" }
        if let size = ByteSizeText.parse(text), size < 0 { return "no size is negative" }
        if let pointer = try? JSONPointer(text) {  // refused: then it is none
            let found = JSONScanner.find(pointer, in: Array(#"{"predicted_layers":[{"a/b~":1}],"":[]}"#.utf8))
            if let found, !(0..<40).contains(found.lowerBound) { return "a pointer finds what is there" }
        }
        return nil
    }

    private static func isUUID(_ text: String) -> Bool {
        let parts = text.utf8.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
        let digits = Array("0123456789abcdefABCDEF".utf8)
        return parts.map(\.count) == [8, 4, 4, 4, 12] && parts.joined().allSatisfy(digits.contains)
    }
}
