import Foundation
import InferqCore
import TestSupport
import Testing

/// What the scanner finds in texts that are JSON.
struct JSONScannerTests {
    typealias Numbers = SplitMix64

    @Test(arguments: 0..<UInt64(300))
    func everyWayToWriteAValueIsAccepted(seed: UInt64) throws {
        var numbers = Numbers(seed: seed)
        let text = JSONSample.random(&numbers).written(&numbers)
        #expect(throws: Never.self, "seed \(seed)") { try JSONScanner.validate(text) }
    }

    @Test(arguments: 0..<UInt64(300))
    func theCompactFormIsASCIIAndMeansTheSame(seed: UInt64) throws {
        var numbers = Numbers(seed: seed)
        let sample = JSONSample.random(&numbers)
        let text = sample.written(&numbers)
        let compact = compact(text)
        #expect(value(of: compact, compact.indices) == sample, "seed \(seed)")
        #expect(compact.allSatisfy { $0 > 0x1F && $0 < 0x80 }, "seed \(seed)")
        #expect(try canonical(compact) == canonical(text), "seed \(seed)")
        #expect(self.compact(compact) == compact, "seed \(seed)")
    }

    @Test(arguments: [
        (#"{ "b" : 1.50E+2 , "a" : [ 1 , -0 ] }"#, #"{"b":1.50E+2,"a":[1,-0]}"#),
        (#"" a  b ""#, #"" a  b ""#),
        ("\"\u{E9}\u{2028}\u{1F600}\u{FFFF}\u{FEFF}\"", #""\u00e9\u2028\ud83d\ude00\uffff\ufeff""#),
        (#""\u00E9\/\n\\\" \ud800""#, #""\u00E9\/\n\\\" \ud800""#),
        ("\"\u{E9}\\\\\u{E9}\"", #""\u00e9\\\u00e9""#),
        (" \n true \t", "true"),
    ])
    func theCompactFormKeepsEscapesNumbersAndOrder(text: String, expected: String) {
        #expect(String(decoding: compact(Array(text.utf8)), as: UTF8.self) == expected)
    }

    @Test(arguments: 0..<UInt64(300))
    func theMembersOfAnObjectAreFoundInOrder(seed: UInt64) throws {
        var numbers = Numbers(seed: seed)
        let sample = JSONSample.randomObject(&numbers)
        let text = sample.written(&numbers)
        let members = try #require(try JSONScanner.members(of: text))
        #expect(value(of: text, text.indices) == sample, "seed \(seed)")
        #expect(JSONScanner.members(of: text, in: text.indices) == members, "seed \(seed)")
        for member in members {
            #expect(try JSONScanner.validate(Array(text[member.value])) == member.kind, "seed \(seed)")
            #expect(text[member.whole.lowerBound] == UInt8(ascii: "\""))
            #expect(member.whole.upperBound == member.value.upperBound)
            #expect(JSONScanner.kind(of: text, at: member.value.lowerBound) == member.kind)
        }
    }

    @Test(arguments: 0..<UInt64(200))
    func removingAMemberLeavesTheOthersAsTheyWere(seed: UInt64) throws {
        var numbers = Numbers(seed: seed)
        let text = JSONSample.randomObject(&numbers).written(&numbers)
        let members = try #require(try JSONScanner.members(of: text))
        for index in members.indices {
            let rest = JSONScanner.removing(index, of: members, from: text)
            let left = try #require(try JSONScanner.members(of: rest), "seed \(seed)")
            var expected = members.map { Array(text[$0.whole]) }
            expected.remove(at: index)
            #expect(left.map { Array(rest[$0.whole]) } == expected, "seed \(seed), member \(index)")
            let prefix = zip(text, rest).prefix { $0 == $1 }.count
            let suffix = zip(text.reversed(), rest.reversed()).prefix { $0 == $1 }.count
            #expect(prefix + suffix >= rest.count, "seed \(seed): more than one place was touched")
        }
    }

    @Test(arguments: [
        (#"{"a":1, "job":{} , "b":2}"#, #"{"a":1,  "b":2}"#),
        (#"{"a":1 , "job":{} }"#, #"{"a":1  }"#),
        (#"{ "job" : [1,2] }"#, #"{  }"#),
        (#"{"job":1,"b":2}"#, #"{"b":2}"#),
        (#"{"a":1,"job":1}"#, #"{"a":1}"#),
        ("{\"a\":\",\"\n,\n\"\\u006aob\":null\n,\n\"b\":1}", "{\"a\":\",\"\n,\n\n\"b\":1}"),
    ])
    func aMemberGoesWithOneCommaAndTheWhiteSpaceBetween(text: String, expected: String) throws {
        let bytes = Array(text.utf8)
        let members = try #require(try JSONScanner.members(of: bytes))
        let job = try #require(members.firstIndex { $0.name == "job" })
        #expect(String(decoding: JSONScanner.removing(job, of: members, from: bytes), as: UTF8.self) == expected)
    }

    @Test func onlyTheNamedMembersAreGivenDuplicatesIncluded() throws {
        let bytes = Array(#"{"x":1,"job":2,"y":{"job":3},"\u006aob":[4],"jo":5}"#.utf8)
        let members = try #require(try JSONScanner.members(of: bytes, named: ["job", "input"]))
        #expect(members.map(\.name) == ["job", "job"])
        #expect(members.map(\.kind) == [.number, .array])
    }

    @Test(arguments: ["[1]", "\"a\"", "0", "null", "true", "[{\"a\":1}]"])
    func whatIsNoObjectHasNoMembers(text: String) throws {
        let bytes = Array(text.utf8)
        #expect(try JSONScanner.members(of: bytes) == nil)
        #expect(JSONScanner.members(of: bytes, in: bytes.indices) == [])
    }

    @Test func theElementsOfAnArrayAreFoundInOrder() {
        let bytes = Array(#" [ 1 ,"a]," , [2,[3]],{"b":[4]} ,null ]"#.utf8)
        let elements = JSONScanner.elements(of: bytes, in: bytes.indices)
        #expect(
            elements.map { String(decoding: bytes[$0], as: UTF8.self) }
                == ["1", #""a],""#, "[2,[3]]", #"{"b":[4]}"#, "null"]
        )
        #expect(JSONScanner.elements(of: Array("[ ]".utf8), in: 0..<3).isEmpty)
        #expect(JSONScanner.elements(of: Array("{\"a\":1}".utf8), in: 0..<7).isEmpty)
    }

    @Test(arguments: [
        (#""""#, ""), (#""a\u0000b""#, "a\u{0}b"), (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{C}\n\r\t"),
        (#""\uD83D\ude00""#, "\u{1F600}"), (#""\ud800""#, "\u{FFFD}"), (#""\ude00\ud83d""#, "\u{FFFD}\u{FFFD}"),
        (#""\ud83d\ud83d\ude00x""#, "\u{FFFD}\u{1F600}x"), (#""\ud83d\n""#, "\u{FFFD}\n"),
        (#""\ud83dude00""#, "\u{FFFD}ude00"),
        ("\"\u{E9}\u{10FFFF}\"", "\u{E9}\u{10FFFF}"),
    ])
    func aStringIsDecodedWithLoneSurrogatesReplaced(token: String, expected: String) {
        let bytes = Array(token.utf8)
        #expect(JSONScanner.string(in: bytes, bytes.indices) == expected)
    }

    @Test(
        arguments: [
            ("0", 0), ("-0", 0), ("-5", -5), ("1e2", 100), ("1.0", 1), ("1.50E+2", 150), ("1200e-2", 12), ("0.00e5", 0),
            ("-9223372036854775808", .min), ("9223372036854775807", .max), ("9223372036854775807.000", .max),
            ("922337203685477580.7e1", .max), ("0e999999999999999999999", 0),
            ("100000000000000000000e-2", 1_000_000_000_000_000_000),
            ("9223372036854775808", nil), ("-9223372036854775809", nil), ("1.5", nil), ("1e-1", nil), ("1e19", nil),
            ("1e99999999999999999999999", nil), ("1e-99999999999999999999", nil), ("12e-2", nil), ("\"1\"", nil),
            ("true", nil),
        ] as [(String, Int?)]
    )
    func aNumberIsAnIntegerIfItsValueIs(token: String, expected: Int?) {
        let bytes = Array(token.utf8)
        #expect(JSONScanner.integer(in: bytes, bytes.indices) == expected)
    }

    @Test(
        arguments: [
            ("0", 0), ("-0.5", -0.5), ("1e2", 100), ("0.1", 0.1), ("1.7976931348623157e308", .greatestFiniteMagnitude),
            ("5e-324", .leastNonzeroMagnitude), ("1e-999", 0), ("1e999", nil), ("-1e309", nil), ("\"1\"", nil),
            ("null", nil),
        ] as [(String, Double?)]
    )
    func aNumberIsADoubleIfItIsFinite(token: String, expected: Double?) {
        let bytes = Array(token.utf8)
        #expect(JSONScanner.double(in: bytes, bytes.indices) == expected)
    }

    @Test(.timeLimit(.minutes(10)))
    func aLongTextCostsNoMoreThanItsLength() throws {
        let million = 1_000_000
        let quote: [UInt8] = [UInt8(ascii: "\"")]
        let opening = [UInt8](repeating: UInt8(ascii: "["), count: million)
        #expect(throws: JSONError.self) { try JSONScanner.validate(opening) }
        #expect(throws: JSONError.self) { try JSONScanner.validate(Array(repeating: 0x20, count: million)) }
        for unit in ["a", "\\n", "\\ud800", "\u{E9}", "\u{1F600}"] {
            let text = quote + Array(String(repeating: unit, count: million / unit.utf8.count).utf8) + quote
            #expect(try JSONScanner.validate(text) == .string)
            #expect(JSONScanner.string(in: text, text.indices)?.isEmpty == false)
            #expect(compact(text).count >= text.count)
            #expect(throws: JSONError.self) { try JSONScanner.validate(Array(text.dropLast())) }
        }
        let object = Array(("{" + String(repeating: "\"\":[],", count: million / 6) + "\"a\":0}").utf8)
        #expect(try JSONScanner.members(of: object)?.count == million / 6 + 1)
        #expect(JSONScanner.find(try JSONPointer("/a"), in: object) != nil)
        let number = Array(("1" + String(repeating: "0", count: million) + "e-\(million)").utf8)
        #expect(try JSONScanner.validate(number) == .number)
        #expect(JSONScanner.integer(in: number, number.indices) == 1)
        _ = JSONScanner.double(in: number, number.indices)
    }

    private func compact(_ text: [UInt8]) -> [UInt8] {
        var out: [UInt8] = []
        JSONScanner.appendCompactASCII(text, text.indices, to: &out)
        return out
    }

    /// What Foundation understands, in a form that can be compared.
    private func canonical(_ text: [UInt8]) throws -> Data {
        let value = try JSONSerialization.jsonObject(with: Data(text), options: .fragmentsAllowed)
        return try JSONSerialization.data(withJSONObject: value, options: [.fragmentsAllowed, .sortedKeys])
    }

    /// The value in `range`, built with the scanner's own functions alone.
    private func value(of text: [UInt8], _ range: Range<Int>) -> JSONSample {
        let start = text[range].firstIndex { !" \n\r\t".utf8.contains($0) } ?? range.lowerBound
        switch JSONScanner.kind(of: text, at: start) {
        case .null: return .null
        case .bool: return .bool(text[start] == UInt8(ascii: "t"))
        case .number: return .number(String(decoding: text[range], as: UTF8.self))
        case .string: return .string(JSONScanner.string(in: text, range) ?? "")
        case .array: return .array(JSONScanner.elements(of: text, in: range).map { value(of: text, $0) })
        case .object:
            return .object(JSONScanner.members(of: text, in: range).map { ($0.name, value(of: text, $0.value)) })
        }
    }
}
