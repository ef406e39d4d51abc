import Testing

@testable import InferqCore

struct JSONObjectTests {
    private func object(_ text: String) throws -> JSONObject { try #require(JSONObject(Array(text.utf8))) }

    private func text(_ object: JSONObject) -> String { String(decoding: object.bytes, as: UTF8.self) }

    @Test
    func whatIsNotTouchedStays() throws {
        var it = try object(#" { "a" : 1.50 , "b":[ {"x":"\u00e4ä"} ], "a":2E0 } "#)
        it.set("c", "q\"")
        it.set("b2", 5)
        #expect(text(it) == #"{"a":2E0,"b":[ {"x":"\u00e4ä"} ],"c":"q\"","b2":5}"#)
        #expect(it.objects("b").first?.text("x") == "ää")
        it["b"] = nil
        it.complete("a", with: Array("7".utf8))
        it.complete("d", with: Array("null".utf8))
        #expect(text(it) == #"{"a":2E0,"c":"q\"","b2":5,"d":null}"#)
        #expect(it.integer("a") == 2 && it.text("a") == nil && it.object("c") == nil)
    }

    @Test(arguments: ["", "[]", "1", "{", #"{"a":}"#, "{} {}"])
    func whatIsNoObjectIsNone(_ text: String) {
        #expect(JSONObject(Array(text.utf8)) == nil)
    }
}
