import TestSupport
import Testing

@testable import InferqCore

struct BatchLineTests {
    private static let endpoint = "/v1/embeddings"
    private static let good =
        #"{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{"model":"m", "input": [1.50] }}"#

    @Test
    func aGoodLineIsRead() throws {
        let line = try BatchLine(Array(Self.good.utf8), line: 7, endpoint: Self.endpoint)
        #expect(line.customID == "a" && line.model == "m")
        #expect(String(decoding: line.body, as: UTF8.self) == #"{"model":"m", "input": [1.50] }"#)
        #expect(BatchLine.customID(in: Array(Self.good.utf8)) == "a")
    }

    @Test(arguments: [
        ("", "invalid_json_line"), ("[]", "invalid_json_line"), (#"{"custom_id":5}"#, "invalid_custom_id"),
        (#"{"custom_id":""}"#, "invalid_custom_id"), (#"{"custom_id":"a"}"#, "invalid_method"),
        (#"{"custom_id":"a","method":"post"}"#, "invalid_method"),
        (#"{"custom_id":"a","method":"POST","url":"/v1"}"#, "invalid_url"),
        (#"{"custom_id":"a","method":"POST","url":"/v1/embeddings"}"#, "invalid_body"),
        (#"{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":[]}"#, "invalid_body"),
        (#"{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{"stream":true}}"#, "invalid_body"),
        (#"{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{"background": true}}"#, "invalid_body"),
    ])
    func whatIsWrongIsSaid(_ text: String, _ code: String) {
        #expect {
            try BatchLine(Array(text.utf8), line: 3, endpoint: Self.endpoint)
        } throws: {
            ($0 as? BatchProblem)?.code == code && ($0 as? BatchProblem)?.line == 3
        }
    }

    @Test
    func whateverALineHoldsItIsReadOrRefused() {
        var random = SplitMix64(seed: 16)
        for _ in 0..<20_000 {
            var text = Array(Self.good.utf8)
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let place = Int.random(in: 0..<text.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: text[place] = UInt8.random(in: 0...255, using: &random)
                case 1: text.insert(#"{}[]",:\"#.utf8.randomElement(using: &random) ?? 0, at: place)
                default: text.remove(at: place)
                }
            }
            let line = try? BatchLine(text, line: 1, endpoint: Self.endpoint)
            if let line {
                #expect((try? JSONScanner.validate(line.body)) == .object)
                #expect(BatchLine.customID(in: text) == line.customID)
            }
        }
    }
}

struct LineCutterTests {
    @Test(arguments: [1, 2, 3, 5, 100])
    func linesAreTheSameHoweverTheyAreCut(_ length: Int) {
        let text = Array("\u{FEFF}one\r\n\n  \ntwo\nthree".utf8)
        var cutter = LineCutter()
        var lines: [LineCutter.Line] = []
        for start in stride(from: 0, to: text.count, by: length) {
            lines += cutter.read(Array(text[start..<min(start + length, text.count)]))
        }
        lines += [cutter.finish()].compactMap { $0 }
        #expect(lines.map(\.number) == [1, 4, 5])
        #expect(lines.map { String(decoding: $0.text, as: UTF8.self) } == ["one\r", "two", "three"])
        #expect(lines.last?.end == text.count)
        // From the end of any line on, the rest is the same.
        for line in lines {
            var rest = LineCutter(after: line.number, place: line.end)
            let more = rest.read(Array(text[line.end...])) + [rest.finish()].compactMap { $0 }
            #expect(more.map(\.number) == lines.map(\.number).filter { $0 > line.number })
            #expect(more.map(\.end) == lines.map(\.end).filter { $0 > line.end })
        }
    }
}

struct BatchResultTests {
    private static let id = UUIDv7(high: 0x0192_0000_0000_7000, low: 0x8000_0000_0000_0001)

    private func line(_ result: BatchResult) -> String {
        String(decoding: result.line(Self.id, customID: "a\"\n"), as: UTF8.self)
    }

    @Test
    func anAnswerIsOneLine() {
        #expect(
            line(.answered(status: 200, request: Self.id, body: Array("{\n \"a\": 1.50 }".utf8)))
                == #"{"id":"batch_req_01920000000070008000000000000001","custom_id":"a\"\n","#
                + #""response":{"status_code":200,"request_id":"01920000-0000-7000-8000-000000000001","#
                + #""body":{"a":1.50}},"error":null}"# + "\n")
        let words = line(.answered(status: 500, request: Self.id, body: Array("oh\nno".utf8)))
        #expect(words.contains(#""body":"oh\nno""#))
        let none = line(.unanswered(code: "c", message: "m"))
        #expect(none.contains(#""response":null,"error":{"code":"c","message":"m"}"#))
    }

    @Test
    func costsAreAddedUpInTheWordsOfEitherAPI() {
        var usage = BatchUsage()
        #expect(usage.json.isEmpty)
        for text in [
            #"{"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3,"prompt_tokens_details":{"cached_tokens":1}}}"#,
            #"{"usage":{"input_tokens":10,"output_tokens":20,"output_tokens_details":{"reasoning_tokens":5}}}"#,
            #"{"usage":{"prompt_tokens":9223372036854775807,"total_tokens":-4}}"#, "{}", "no",
        ] {
            usage.add(Array(text.utf8))
        }
        #expect(
            String(decoding: usage.json, as: UTF8.self)
                == #"{"input_tokens":9223372036854775807,"input_tokens_details":{"cached_tokens":1},"#
                + #""output_tokens":22,"output_tokens_details":{"reasoning_tokens":5},"total_tokens":33}"#)
    }
}
