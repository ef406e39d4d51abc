import InferqCore
import Testing

struct JSONPointerTests {
    @Test(
        arguments: [
            ("", nil), ("/foo", #"["bar", "baz"]"#), ("/foo/0", #""bar""#), ("/", "0"), ("/a~1b", "1"), ("/c%d", "2"),
            ("/e^f", "3"), ("/g|h", "4"), (#"/i\j"#, "5"), (#"/k"l"#, "6"), ("/ ", "7"), ("/m~0n", "8"),
        ] as [(String, String?)]
    )
    func theExamplesOfRFC6901FindTheirValues(text: String, expected: String?) throws {
        let document = """
            {"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4,
            "i\\\\j": 5, "k\\"l": 6, " ": 7, "m~n": 8}
            """
        #expect(try found(text, in: document) == expected ?? document)
    }

    @Test(
        arguments: [
            ("/a", #"{"a":1,"a":2}"#, "2"), ("/a/b", #"{"a":{"b":1},"a":{"c":2}}"#, nil),
            ("/a/b", #"{"a":3,"a":{"b":[]}}"#, "[]"),
            ("/a", #"{"\u0061":1}"#, "1"), ("/é", "{\"e\u{301}\":1,\"\u{E9}\":2}", "2"),
            ("/e\u{301}", "{\"\u{E9}\":2}", nil),
            ("/~01", #"{"~1":1,"/":2}"#, "1"), ("//x", #"{"":{"x":1}}"#, "1"), ("/a/", #"{"a":{"":1}}"#, "1"),
            ("/\u{301}", "{\"\u{301}\":1}", "1"),
        ] as [(String, String, String?)]
    )
    func theLastOfEqualNamesCountsAndNamesAreComparedByScalar(text: String, document: String, expected: String?) throws
    {
        #expect(try found(text, in: document) == expected)
    }

    @Test(
        arguments: [
            ("/0", "1"), ("/1", "[2, 3]"), ("/1/1", "3"), ("/2", #"{"0":4}"#), ("/2/0", "4"), ("/3", nil), ("/00", nil),
            ("/01", nil),
            ("/-", nil), ("/-1", nil), ("/+1", nil), ("/1.0", nil), ("/1e0", nil), ("/", nil), ("/a", nil),
            ("/0/0", nil),
            ("/99999999999999999999", nil), ("/\u{661}", nil),
        ] as [(String, String?)]
    )
    func anElementIsFoundByItsIndexWithoutLeadingZeros(text: String, expected: String?) throws {
        #expect(try found(text, in: #" [1, [2, 3] , {"0":4} ] "#) == expected)
    }

    @Test(arguments: ["1", "\"a\"", "null", "[]", "{}"])
    func theEmptyPointerIsTheWholeValueAndNothingLiesBelowAScalar(document: String) throws {
        #expect(try found("", in: " \n\(document)\t ") == document)
        #expect(try found("/a", in: document) == nil)
        #expect(try found("/0", in: document) == nil)
    }

    @Test(arguments: ["a", "a/b", " /a", "#/a", "/~", "/~2", "/a~", "/~~0", "/a~/b", "\u{301}/a"])
    func aMalformedPointerIsRefusedWithASentence(text: String) {
        #expect(throws: JSONPointer.Malformed.self) { try JSONPointer(text) }
    }

    private func found(_ text: String, in document: String) throws -> String? {
        let bytes = Array(document.utf8)
        return JSONScanner.find(try JSONPointer(text), in: bytes).map { String(decoding: bytes[$0], as: UTF8.self) }
    }
}
