import Foundation
import TestSupport
import Testing

@testable import inferq

/// Whatever a file holds, it is taken or refused with sentences; the program never stops over it.
struct SettingsFuzzTests {
    private static let good = """
        listen = ["127.0.0.1:8484", "[::1]:0", "unix:/run/x.sock"]
        public_url = "http://h:1/x"
        hosts = ["a.example"]
        origins = ["https://app.example"]
        sync_wait = 1.5
        log_level = 'info' # as usual
        [limits]
        connections = 4_096
        head = 0x10000
        idle_timeout = "75s"
        [store]
        path = '''/var/lib/inferq/inferq.db'''
        retention = "7d"
        [broker]
        redis = "redis://user:password@h:6379/1"
        prefix = "in\\u0066erq"
        [models.ocr]
        url = "http+unix://%2Frun%2Focr.sock/predict"
        backoff = { base = "1s", cap = "2m" }
        layers = "/a~1b/0"
        headers = { X-A = "1", "X-B" = "$CREDENTIAL:b" }
        [models."b.c"]
        url = "http://127.0.0.1:9001/predict"
        max_attempts = 3
        """

    private static let pieces = [
        "[", "]", "[[", "]]", "{", "}", "=", ".", ",", "\"", "'", "\"\"\"", "'''", "\n", "\r\n", "\\", "\\u0000",
        "\\uD800",
        "\\U00110000", "nan", "-inf", "1e999", "9223372036854775808", "-9223372036854775808", "0x",
        "1979-05-27T07:32:00Z",
        "07:32:00", "true", "#", "\u{0}", "\u{FEFF}", "\u{7F}", "é", "\u{2028}", "[models.ocr]", "[limits]",
        "a.b.c = 1\n",
        "[[models]]\n", "models = 1\n", "\u{FFFF}", "_", "%", "-", "99999999999999999999d",
    ]

    @Test
    func twoThousandMutationsNeverTrap() throws {
        var random = SplitMix64(seed: 42)
        let folder = try SettingsFolder(["b": "secret"])
        let environment = ["CREDENTIALS_DIRECTORY": folder.path]
        #expect(try load(Data(Self.good.utf8), folder, environment).isEmpty)
        var refused = 0
        for _ in 0..<2000 {
            var bytes = Array(Self.good.utf8)
            for _ in 0..<Int.random(in: 1...4, using: &random) { mutate(&bytes, &random) }
            let problems = try load(Data(bytes), folder, environment)
            refused += problems.isEmpty ? 0 : 1
            for problem in problems {
                let isVisible = !problem.unicodeScalars.contains { $0.isInvisible }
                #expect(isVisible)
                #expect(problem.contains("; ") && problem.utf8.count < 2000)
            }
        }
        #expect(refused > 500)
    }

    private func load(_ bytes: Data, _ folder: SettingsFolder, _ environment: [String: String]) throws -> [String] {
        try folder.write("inferq.toml", bytes)
        return folder.problems(environment: environment)
    }

    private func mutate(_ bytes: inout [UInt8], _ random: inout SplitMix64) {
        let start = Int.random(in: 0..<max(1, bytes.count), using: &random)
        let end = min(bytes.count, start + Int.random(in: 0...12, using: &random))
        switch Int.random(in: 0..<5, using: &random) {
        case 0: bytes.removeSubrange(start..<end)
        case 1: bytes.insert(contentsOf: Array((Self.pieces.randomElement(using: &random) ?? "").utf8), at: start)
        case 2: bytes.replaceSubrange(start..<end, with: Array((Self.pieces.randomElement(using: &random) ?? "").utf8))
        case 3: bytes.insert(contentsOf: bytes[start..<end], at: Int.random(in: 0...bytes.count, using: &random))
        default: if start < bytes.count { bytes[start] = UInt8.random(in: 0...255, using: &random) }
        }
    }
}
