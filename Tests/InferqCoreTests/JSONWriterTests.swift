import InferqCore
import TestSupport
import Testing

struct JSONWriterTests {
    @Test func commasStandBetweenValuesAndNowhereElse() {
        var writer = JSONWriter(capacity: 64)
        writer.beginObject()
        writer.name("a")
        writer.beginArray()
        writer.value(1)
        writer.value("b")
        writer.beginObject()
        writer.endObject()
        writer.beginArray()
        writer.endArray()
        writer.null()
        writer.endArray()
        writer.name("c")
        writer.beginObject()
        writer.name("d")
        writer.value(true)
        writer.name("e")
        writer.value(false)
        writer.endObject()
        writer.name("f")
        writer.raw(Array("[1, 2]".utf8))
        writer.name("g")
        writer.raw(Array("[1, 2]".utf8), 4..<5)
        writer.name("h")
        writer.compact(Array("[1, \"\u{E9}\"]".utf8), 0..<9)
        writer.endObject()
        let expected =
            #"{"a":[1,"b",{},[],null],"c":{"d":true,"e":false},"f":[1, 2],"g":2,"h":[1,"\u00e9"]}"#
        #expect(String(decoding: writer.bytes, as: UTF8.self) == expected)
    }

    @Test(
        arguments: [
            (0, "0"), (7, "7"), (10, "10"), (-1, "-1"), (-10, "-10"), (99, "99"), (100, "100"),
            (.max, "9223372036854775807"),
            (.min, "-9223372036854775808"),
        ] as [(Int64, String)]
    )
    func integersAreWrittenInDecimal(value: Int64, expected: String) {
        #expect(written { $0.value(value) } == expected)
        #expect(written { $0.value(Int(value)) } == expected)
    }

    @Test(
        arguments: [
            (0.0, "0"), (-0.0, "-0"), (1, "1"), (0.1, "0.1"), (-2.5, "-2.5"), (1e16, "1e+16"), (1e300, "1e+300"),
            (.leastNonzeroMagnitude, "5e-324"), (0.5000000000000001, "0.5000000000000001"), (.nan, "null"),
            (.infinity, "null"),
        ] as [(Double, String)]
    )
    func doublesAreWrittenInTheirShortestForm(value: Double, expected: String) throws {
        let text = written { $0.value(value) }
        #expect(text == expected)
        #expect(throws: Never.self) { try JSONScanner.validate(Array(text.utf8)) }
    }

    @Test(arguments: [
        ("", #""""#), ("plain text / of some length", #""plain text / of some length""#),
        ("\"\\\n\r\t\u{8}\u{C}\u{0}\u{1F}", #""\"\\\n\r\t\b\f\u0000\u001f""#), ("\u{7F}", "\"\u{7F}\""),
        ("caf\u{E9}\u{2028}\u{1F600}!", #""caf\u00e9\u2028\ud83d\ude00!""#), ("\u{FFFF}", #""\uffff""#),
    ])
    func stringsAreEscapedToASCII(value: String, expected: String) {
        #expect(written { $0.value(value) } == expected)
        #expect(written { $0.name(escaping: value) } == expected + ":")
    }

    @Test(arguments: 0..<UInt64(200))
    func whatIsWrittenIsReadBack(seed: UInt64) throws {
        var numbers = SplitMix64(seed: seed)
        guard case .object(let members) = JSONSample.randomObject(&numbers) else { return }
        var writer = JSONWriter()
        writer.beginArray()
        for member in members {
            writer.value(member.name)
            writer.raw(member.value.written(&numbers))
        }
        writer.endArray()
        #expect(try JSONScanner.validate(writer.bytes) == .array, "seed \(seed)")
        let elements = JSONScanner.elements(of: writer.bytes, in: writer.bytes.indices)
        let names = stride(from: 0, to: elements.count, by: 2).map {
            JSONScanner.string(in: writer.bytes, elements[$0])
        }
        #expect(names == members.map(\.name), "seed \(seed)")
    }

    private func written(_ write: (inout JSONWriter) -> Void) -> String {
        var writer = JSONWriter()
        write(&writer)
        return String(decoding: writer.bytes, as: UTF8.self)
    }
}
