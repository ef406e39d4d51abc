import Foundation
import InferqCore
import TestSupport
import Testing

/// What is JSON, what is not, and what the error says.
struct JSONGrammarTests {
    @Test(arguments: [
        "0", "-0", "-1", "10", "1.0", "-0.0", "1e1", "1E1", "1e+1", "1E-01", "0e0", "0.5e-7",
        "123456789012345678901234567890",
        "1e999", "null", "true", "false", "\"\"", "[]", "{}", "[[]]", "[{}]", "{\"\":0}", "{\"a\":[]}", "[1,2]",
        "[null,\"\"]",
        " [] ", "\t\n\r 1\r\n", "[ ]", "{ }", "{ \"a\" : 1 , \"b\" : 2 }", "{\"a\":1,\"a\":2}", #""\"\\\/\b\f\n\r\t""#,
        #""\u0000""#, #""\uD800""#, #""\uDFFF\uD800""#, #""\uabcD""#, #""\uD834\uDD1E""#, "\"\u{7F}\"",
        "\"\u{2028}\u{2029}\"",
        "\"\u{FEFF}\"", "\"\u{FFFF}\"", "\"\u{10FFFF}\"", "\"/\"", "\"//\"", #"["\\"]"#, #"["\\\\\""]"#, "[1 ]", "[ 1]",
    ])
    func thisIsJSON(text: String) {
        #expect(JSONReference.accepts(Array(text.utf8)))
        #expect(throws: Never.self) { try JSONScanner.validate(Array(text.utf8)) }
    }

    @Test(arguments: [
        "", " ", "\u{0}", "[", "]", "{", "}", "[1", "[1,", "[1,]", "[,1]", "[,]", "[1,,2]", "[1 2]", "[1;2]", "[1]]",
        "[1}", "{]",
        "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,", "{\"a\":1,}", "{,}", "{\"a\" 1}", "{\"a\"::1}", "{\"a\",1}",
        "{a:1}", "{'a':1}",
        "{1:1}", "{null:1}", "{[]:1}", "{\"a\":1 \"b\":2}", "{\"a\":1,,\"b\":2}", "{\"a\":}", "{:1}", "{\"a\":1}}",
        "{} {}",
        "1 2", "01", "-01", "00", "-", "+1", "1.", ".5", "-.5", "1.e1", "1e", "1e+", "1E-", "1e1.5", "1.2.3", "0x1",
        "1_0", "1a", "--1",
        "- 1", "0e", "2.e+3", "NaN", "-NaN", "Infinity", "-Infinity", "nul", "nulll", "True", "TRUE", "truefalse",
        "tru", "fals", "n",
        "\"", "\"a", "'a'", "\"\\\"", #""\a""#, #""\x41""#, #""\U0041""#, #""\u""#, #""\u1""#, #""\u12""#, #""\u123""#,
        #""\u123g""#,
        #""\u+123""#, #""\u 123""#, #""\'""#, "\"\n\"", "\"\t\"", "\"\u{0}\"", "\"\u{1F}\"", "\"\\\n\"", "\"a\"b",
        "[\"a]",
        "\u{FEFF}1", "[1]\u{FEFF}", "\u{A0}1", "1\u{B}", "1\u{C}", "[1\u{85}]", "// c\n1", "1/* c */", "#1", "1\u{0}",
        "[\u{E9}]",
        "\u{FF11}", "{\"a\":/**/1}", "<a>", "*", "\\u0031",
    ])
    func thisIsNotJSON(text: String) {
        #expect(!JSONReference.accepts(Array(text.utf8)))
        #expect(throws: JSONError.self) { try JSONScanner.validate(Array(text.utf8)) }
    }

    @Test(
        arguments: [
            [0x80], [0xBF], [0xC0, 0x80], [0xC0, 0xAF], [0xC1, 0xBF], [0xC2], [0xC2, 0x41], [0xC2, 0xC2],
            [0xE0, 0x80, 0xAF], [0xE0, 0x9F, 0xBF], [0xE0, 0xA0], [0xE1, 0x80], [0xE1, 0x80, 0x41], [0xE1, 0x41, 0x80],
            [0xED, 0xA0, 0x80], [0xED, 0xBF, 0xBF], [0xEF, 0xBF], [0xF0, 0x80, 0x80, 0x80], [0xF0, 0x8F, 0xBF, 0xBF],
            [0xF0, 0x90, 0x80], [0xF1, 0x80, 0x80, 0x41], [0xF4, 0x90, 0x80, 0x80], [0xF5, 0x80, 0x80, 0x80],
            [0xF8, 0x88, 0x80, 0x80, 0x80], [0xFE], [0xFF], [0xC3, 0xA9, 0xA9],
        ] as [[UInt8]]
    )
    func whatIsNotUTF8IsRefusedWhereverItStands(sequence: [UInt8]) {
        let quote = UInt8(ascii: "\"")
        for count in 0...17 {
            let before = [quote] + Array(repeating: UInt8(ascii: "a"), count: count)
            for text in [before + sequence + [quote], before + sequence, before + sequence + before] {
                #expect(refusal(text)?.reason == .invalidUTF8)
            }
        }
        #expect(throws: JSONError.self) { try JSONScanner.validate(sequence) }
    }

    @Test func everyByteAtEveryPlaceOfAWordIsJudgedAsTheReferenceDoes() {
        for place in 0..<18 {
            for byte in UInt8.min...UInt8.max {
                var text = Array("\"aaaaaaaaaaaaaaaaaa\"".utf8)
                text[place + 1] = byte
                #expect(isAccepted(text) == JSONReference.accepts(text), "\(byte) at \(place)")
            }
        }
    }

    @Test(arguments: 0..<UInt64(40))
    func bytesNextToTheLimitsAreJudgedAsTheReferenceDoes(seed: UInt64) {
        let limits: [UInt8] = [
            0x00, 0x1F, 0x20, 0x21, 0x22, 0x23, 0x5B, 0x5C, 0x5D, 0x6E, 0x75, 0x7F, 0x80, 0xC2, 0xFF,
        ]
        var numbers = SplitMix64(seed: seed)
        for _ in 0..<100 {
            let count = Int.random(in: 0..<20, using: &numbers)
            let noise = (0..<count).map { _ in limits[Int.random(in: 0..<limits.count, using: &numbers)] }
            let text = [0x22] + noise.map { Bool.random(using: &numbers) ? $0 : 0x61 } + [0x22]
            #expect(isAccepted(text) == JSONReference.accepts(text), "seed \(seed): \(text)")
        }
    }

    @Test(arguments: 0..<UInt64(60))
    func aTextWithOneByteChangedIsJudgedAsTheReferenceDoes(seed: UInt64) {
        var numbers = SplitMix64(seed: seed)
        let text = JSONSample.random(&numbers, depth: 3).written(&numbers)
        let telling = Array("\"\\{}[],: 019.-+eEunt/a\n".utf8) + [0x00, 0x1F, 0x7F, 0x80, 0xC0, 0xE9, 0xFF]
        for index in text.indices.prefix(300) {
            var changed = text
            changed[index] = telling[Int.random(in: 0..<telling.count, using: &numbers)]
            var longer = text
            longer.insert(telling[Int.random(in: 0..<telling.count, using: &numbers)], at: index)
            var shorter = text
            shorter.remove(at: index)
            for variant in [changed, longer, shorter, Array(text[..<index])] {
                let isAccepted = isAccepted(variant)
                #expect(isAccepted == JSONReference.accepts(variant), "seed \(seed), byte \(index)")
                if isAccepted { #expect(foundationAccepts(variant), "seed \(seed), byte \(index)") }
            }
        }
    }

    @Test(arguments: ["[", "{\"a\":"])
    func depth128IsAcceptedAnd129IsRefused(opening: String) {
        let closing = opening == "[" ? "]" : "}"
        func nested(_ depth: Int, _ innermost: String) -> [UInt8] {
            Array(
                (String(repeating: opening, count: depth) + innermost + String(repeating: closing, count: depth)).utf8
            )
        }
        #expect(isAccepted(nested(128, "1")))
        #expect(isAccepted(nested(127, "[]")))
        #expect(isAccepted(nested(127, "{}")))
        #expect(refusal(nested(129, "1"))?.reason == .tooDeep(limit: 128))
        #expect(refusal(nested(128, "[]"))?.reason == .tooDeep(limit: 128))
        #expect(refusal(nested(128, "{}"))?.reason == .tooDeep(limit: 128))
    }

    @Test func aLowerLimitOfDepthHoldsForWhatIsOpenAtATime() {
        #expect(throws: Never.self) { try JSONScanner.validate(Array("[[],{},[1]]".utf8), maxDepth: 2) }
        #expect(throws: JSONError.self) { try JSONScanner.validate(Array("[[[]]]".utf8), maxDepth: 2) }
        #expect(throws: Never.self) { try JSONScanner.validate(Array("1".utf8), maxDepth: 0) }
    }

    @Test(arguments: [
        ("", "expected a value but the text ends at line 1, column 1"),
        ("{\n\"a\":1,\n\"\u{E9}\": 2 x", "expected ',' or '}' but found 'x' at line 3, column 8"),
        ("[1 2]", "expected ',' or ']' but found '2' at line 1, column 4"),
        ("[1,]", "expected a value but found ']' at line 1, column 4"),
        ("[x]", "expected a value or ']' but found 'x' at line 1, column 2"),
        ("{'a':1}", "expected a name in double quotes or '}' but found a single quote at line 1, column 2"),
        ("{\"a\":1,}", "expected a name in double quotes but found '}' at line 1, column 8"),
        ("{\"a\"}", "expected ':' but found '}' at line 1, column 5"),
        ("{\"a", "expected the end of the string but the text ends at line 1, column 4"),
        ("-", "expected a digit but the text ends at line 1, column 2"),
        ("- 1", "expected a digit but found a space at line 1, column 2"),
        ("trux", "expected 'true' but found 'x' at line 1, column 4"),
        ("1 \u{1B}", "expected the end of the text but found U+001B at line 1, column 3"),
        ("[\u{1F600}]", "expected a value or ']' but found U+1F600 at line 1, column 2"),
        ("\u{FEFF}1", "the text begins with a byte order mark at line 1, column 1"),
        ("[007]", "a number has a leading zero at line 1, column 2"),
        (#"["\x"]"#, "a backslash does not begin a valid JSON escape at line 1, column 3"),
        ("\"a\nb\"", "the control character U+000A is not escaped in a string at line 1, column 3"),
    ])
    func theErrorSaysWhatAndWhere(text: String, expected: String) {
        #expect(refusal(Array(text.utf8))?.description == expected)
    }

    @Test func theFirstFaultIsReportedByByteLineAndColumn() {
        let error = refusal(Array("{\"\u{E9}\":\r\n \"\u{1F600}\" 1".utf8))
        #expect(error?.offset == 16)
        #expect(error?.line == 2)
        #expect(error?.column == 6)
        #expect(error?.reason == .unexpected("1", expected: .commaOrBrace))
        let cut = refusal([0x22, 0xC3, 0xA9, 0xC3, 0x22, 0x0A])
        #expect(cut?.offset == 3)
        #expect(cut?.column == 3)
    }

    private func refusal(_ text: [UInt8]) -> JSONError? {
        do throws(JSONError) {
            _ = try JSONScanner.validate(text)
            return nil
        } catch {
            return error
        }
    }

    private func isAccepted(_ text: [UInt8]) -> Bool {
        refusal(text) == nil
    }

    /// Foundation refuses lone surrogates and numbers past its range, which are within the grammar.
    private func foundationAccepts(_ text: [UInt8]) -> Bool {
        guard !text.contains(UInt8(ascii: "e")), !text.contains(UInt8(ascii: "E")), !text.contains(UInt8(ascii: "u"))
        else { return true }
        do {
            _ = try JSONSerialization.jsonObject(with: Data(text), options: .fragmentsAllowed)
            return true
        } catch {
            return false
        }
    }
}
