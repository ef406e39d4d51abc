import TestSupport
import Testing

@testable import InferqCore

/// How an answer is shown follows from its type, its encoding and its bytes.
struct AnswerFormTests {
    private func form(_ text: String, _ type: String?, _ encoding: String? = nil) -> AnswerForm {
        AnswerForm(Array(text.utf8), contentType: type, encoding: encoding)
    }

    private static let cases: [(text: String, type: String?, form: Payload.Form)] = [
        ("{}", "application/json", .json), ("1", "application/json", .json), ("{}", nil, .json),
        (" []", "text/html", .json), ("{}", "not a type", .json), ("{}", "application/octet-stream", .json),
        ("1", nil, .bytes), ("1", "text/plain", .text), ("{", "text/plain", .text), ("{", "text/html", .bytes),
        ("{}", "application/x-ndjson", .text), ("{}", "image/png", .bytes), ("", nil, .bytes),
        ("", "text/plain", .text),
    ]

    @Test(arguments: Self.cases)
    func theTypeComesFirstAndTheGrammarSecond(_ text: String, _ type: String?, _ expected: Payload.Form) {
        #expect(form(text, type).form == expected)
    }

    @Test func whatIsEncodedIsNotLookedInto() {
        #expect(form("{}", "text/plain", "gzip") == form("", "image/png"))
        #expect(form("{}", "application/json", "gzip").form == .bytes)
        #expect(form("{}", "application/json", "gzip").note?.contains("(gzip)") == true)
    }

    @Test(arguments: ["{", "{\"a\":NaN}", "", "\u{FEFF}{}"])
    func onlyWhatClaimsToBeJSONHasANote(_ text: String) {
        #expect(form(text, "application/json").note != nil)
        #expect(form(text, "text/plain").note == nil)
    }

    @Test func aNoteIsBounded() throws {
        let note = try #require(form("", "application/\(String(repeating: "x", count: 60_000))+json").note)
        #expect(note.utf8.count < 300)
    }

    @Test(arguments: [
        ("text/plain", nil), ("text/plain; charset=UTF-8", "utf-8"), ("text/plain; a=b;Charset = \"x\"", "x"),
        ("text/plain;charset", nil), ("", nil),
    ])
    func theCharsetIsAParameter(_ field: String, _ charset: String?) {
        #expect(MediaType.charset(field) == charset)
    }
}
