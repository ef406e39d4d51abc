import NIOCore
import NIOHTTP1
import Testing

@testable import InferqHTTP

/// What is refused of a head that the decoder could read.
struct HeadCheckTests {
    private static func code(
        _ uri: String, _ version: HTTPVersion = .http1_1, _ settings: HTTPSettings = HTTPSettings(),
        _ fields: [(String, String)]
    ) -> String? {
        let head = HTTPRequestHead(version: version, method: .POST, uri: uri, headers: HTTPHeaders(fields))
        return HeadCheck.problem(with: head, settings)?.code.rawValue
    }

    @Test(arguments: [
        ("Content-Length: 5", nil), ("Transfer-Encoding: chunked", nil), ("transfer-encoding: CHUNKED", nil),
        ("Transfer-Encoding: gzip, chunked", "transfer_coding"),
        ("Transfer-Encoding: chunked, chunked", "transfer_coding"),
        ("Transfer-Encoding: identity", "transfer_coding"), ("Content-Length: 5|Content-Length: 5", "malformed_http"),
        ("Content-Length: 5|Transfer-Encoding: chunked", "malformed_http"),
        ("Transfer-Encoding: chunked|Transfer-Encoding: chunked", "malformed_http"), ("Expect: 100-continue", nil),
        ("expect: 100-Continue", nil), ("Expect: 200-maybe", "expectation"), ("Expect:", "expectation"),
        ("HOST: b", "malformed_http"),
    ])
    func fieldsThatFrameAreReadInOneWayOnly(_ fields: String, _ code: String?) {
        var all = [("Host", "a")]
        for field in fields.split(separator: "|") {
            let parts = field.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            all.append((String(parts[0]), parts[1].drop { $0 == " " }.description))
        }
        #expect(Self.code("/", all) == code)
    }

    @Test
    func onlyHTTP10DoesWithoutAHost() {
        #expect(Self.code("/", []) == "malformed_http")
        #expect(Self.code("/", .http1_0, []) == nil)
        #expect(Self.code("/", .http1_0, [("Host", "a"), ("Host", "a")]) == "malformed_http")
    }

    @Test
    func HTTP10KnowsNoChunks() {
        #expect(Self.code("/", .http1_0, [("Transfer-Encoding", "chunked")]) == "malformed_http")
    }

    @Test(arguments: [
        ("/", nil), ("/v1/inference?limit=1", nil), ("*", nil), ("", "malformed_http"), ("livez", "malformed_http"),
        ("http://a/livez", nil), ("HTTP://A/livez", nil), ("http://a?x", nil), ("http://b/livez", "malformed_http"),
        ("a:443", "malformed_http"), ("//a/livez", nil),
    ])
    func aTargetIsAPathOrNamesTheHostOfTheField(_ target: String, _ code: String?) {
        #expect(Self.code(target, [("Host", "a")]) == code)
    }

    @Test
    func eachLimitHoldsFromTheFirstByteBeyondIt() {
        let settings = HTTPSettings.with {
            $0.target = 10
            $0.headerFields = 2
            $0.head = 100
        }
        func code(_ uri: String, _ fields: [(String, String)]) -> String? {
            Self.code(uri, .http1_1, settings, [("Host", "a")] + fields)
        }
        #expect(code("/" + String(repeating: "a", count: 9), []) == nil)
        #expect(code("/" + String(repeating: "a", count: 10), []) == "target_too_long")
        #expect(code("/", [("a", "b")]) == nil)
        #expect(code("/", [("a", "b"), ("a", "b")]) == "head_too_large")
        // The target's byte, nine of the host, and five beside a field's value.
        #expect(code("/", [("a", String(repeating: "b", count: 85))]) == nil)
        #expect(code("/", [("a", String(repeating: "b", count: 86))]) == "head_too_large")
    }

    @Test(arguments: [
        ("Content-Length: 18446744073709551616\r\n", true), ("content-length:\t99999999999999999999 \r\n", true),
        ("Content-Length: 1844674407370955161\r\n", false), ("Content-Length: 99999999999999999999x\r\n", false),
        ("Content-Length: -99999999999999999999\r\n", false), ("X-Length: 99999999999999999999\r\n", false),
        ("", false),
    ])
    func aLengthOfTwentyDigitsIsTooMuch(_ field: String, _ isTooMuch: Bool) {
        let bytes = ByteBuffer(string: "POST / HTTP/1.1\r\nHost: a\r\n" + field)
        #expect(HeadCheck.announcesTooMuch(bytes) == isTooMuch)
    }
}

extension HeadCheckTests {
    private static func code(_ uri: String, _ fields: [(String, String)]) -> String? {
        code(uri, .http1_1, HTTPSettings(), fields)
    }

    private static func code(_ uri: String, _ version: HTTPVersion, _ fields: [(String, String)]) -> String? {
        code(uri, version, HTTPSettings(), fields)
    }
}
