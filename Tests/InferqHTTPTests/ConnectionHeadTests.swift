import NIOCore
import NIOHTTP1
import Testing

@testable import InferqHTTP

/// Heads of requests: their time, what is refused of them, and what no decoder can read.
struct ConnectionHeadTests {
    @Test(arguments: [
        ConnectionScript(
            "the first head has its time from the accept", [.seconds(60)],
            ["refuse head_timeout @10", "close @11"]),
        ConnectionScript(
            "no byte makes that longer",
            [.bytes("G"), .seconds(4), .bytes("ET"), .seconds(4), .bytes(" /"), .seconds(4)],
            ["refuse head_timeout @10", "close @11"]),
        ConnectionScript(
            "a later head has its time from its first byte",
            [.get, .answer(), .taken, .seconds(30), .bytes("G"), .seconds(5), .bytes("E"), .seconds(60)],
            ["refuse head_timeout @40", "close @41"]),
        ConnectionScript(
            "an empty line is the first byte of a head",
            [.get, .answer(), .taken, .seconds(4), .bytes("\r\n"), .seconds(60)],
            ["refuse head_timeout @14", "close @15"]),
        ConnectionScript(
            "a head that is complete in time is not refused", [.bytes("GET /"), .seconds(9.5), .get, .seconds(60)], []),
        ConnectionScript(
            "the time is the setting", settings: .with { $0.headTimeout = .seconds(2) }, [.seconds(60)],
            ["refuse head_timeout @2", "close @3"]),
    ])
    func time(_ script: ConnectionScript) {
        script.check()
    }

    @Test(arguments: [
        ConnectionScript(
            "what is wrong with a head is answered at once, and nothing is read after it",
            [.head(.GET, .http1_1, ["Host": "other"]), .body(5), .end, .get, .seconds(5)],
            ["refuse malformed_http", "drop", "drop", "drop", "drop", "close @1"]),
        ConnectionScript(
            "an answer to a refused request is not written",
            [.head(.GET, .http1_1, ["Transfer-Encoding": "gzip"]), .answer()],
            ["refuse transfer_coding", "drop"]),
        ConnectionScript(
            "what cannot be read after a refusal is not answered",
            [.head(.GET, .http1_1, ["Host": "other"]), .unreadable(.invalidHeaderToken)],
            ["refuse malformed_http", "drop error"]),
        ConnectionScript(
            "a head that comes after its refusal is not read", [.seconds(10), .get],
            ["refuse head_timeout @10", "drop @10", "drop @10"]),
        ConnectionScript(
            "a client that closes its side after a refusal is not waited for",
            [.head(.GET, .http1_1, ["Host": "other"]), .inputClosed], ["refuse malformed_http", "close"]),
        ConnectionScript(
            "the end of an earlier answer does not cut a refusal off",
            [.get, .answer(), .head(.GET, .http1_1, ["Host": "other"]), .taken, .seconds(5)],
            ["refuse malformed_http", "close @1"]),
        ConnectionScript(
            "an expectation that nobody knows is refused", [.head(.POST, .http1_1, ["Expect": "a miracle"])],
            ["refuse expectation"]),
        ConnectionScript(
            "HTTP/1.0 knows no expectations",
            [.head(.POST, .http1_0, ["Expect": "a miracle"])], [#"pass ["Host"]"#]),
    ])
    func refusals(_ script: ConnectionScript) {
        script.check()
    }

    @Test(arguments: [
        ConnectionScript(
            "a method that nobody knows", [.bytes("FOO /x HTTP/1.1\r\n"), .unreadable(.invalidMethod)],
            ["refuse method_not_allowed", "break body"]),
        ConnectionScript(
            "that comes in pieces", [.bytes("F"), .bytes("OO"), .bytes(" "), .bytes("*"), .unreadable(.invalidMethod)],
            ["refuse method_not_allowed", "break body"]),
        ConnectionScript(
            "of a later request",
            [.get, .answer(), .taken, .bytes("FOO /x"), .unreadable(.invalidMethod)],
            ["refuse method_not_allowed", "break body"]),
        ConnectionScript(
            "no method", [.bytes("\u{16}\u{03}\u{01}"), .unreadable(.invalidMethod)],
            ["refuse malformed_http", "break body"]),
        ConnectionScript(
            "a method alone", [.bytes("FOO\r\n"), .unreadable(.invalidMethod)],
            ["refuse malformed_http", "break body"]),
        ConnectionScript(
            "a field that is none", [.bytes("GET / HTTP/1.1\r\nX A: 1\r\n"), .unreadable(.invalidHeaderToken)],
            ["refuse malformed_http", "break body"]),
        ConnectionScript(
            "more than the decoder takes", [.bytes("GET / HTTP/1.1\r\n"), .unreadable(.headerOverflow)],
            ["refuse head_too_large", "break body"]),
        ConnectionScript(
            "a length that no counter holds",
            [
                .bytes("POST / HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n"),
                .unreadable(.invalidContentLength),
            ],
            ["refuse body_too_large", "break body"]),
        ConnectionScript(
            "a length that is no number",
            [.bytes("POST / HTTP/1.1\r\nContent-Length: -1\r\n"), .unreadable(.invalidContentLength)],
            ["refuse malformed_http", "break body"]),
        ConnectionScript(
            "the end in the middle of a head", [.bytes("GET /"), .unreadable(.invalidEOFState), .inputClosed],
            ["refuse malformed_http", "break body", "close"]),
    ])
    func unreadable(_ script: ConnectionScript) {
        script.check()
    }

    @Test(arguments: [
        ConnectionScript(
            "a request that was read well has its own answer, which is the last one",
            [.get, .unreadable(.invalidHeaderToken), .answer(), .taken, .seconds(5)],
            ["drop error", "connection: close", "linger", "close @1"]),
        ConnectionScript(
            "an answer that has begun is ended, and no second one follows it",
            [
                .head(), .answerHead, .unreadable(.invalidChunkSize), .answerEnd, .taken, .seconds(5),
            ],
            ["break body", "linger", "close @1"]),
        ConnectionScript(
            "requests before one that breaks have their answers, and no other follows",
            [.get, .head(), .unreadable(.invalidChunkSize), .answer(), .taken, .seconds(5)],
            ["break body", "connection: close", "linger", "close @1"]),
        ConnectionScript(
            "so have those before one that is refused",
            [.get, .head(.GET, .http1_1, ["Host": "other"]), .body(5), .end, .answer(), .taken, .seconds(5)],
            ["drop", "drop", "drop", "connection: close", "linger", "close @1"]),
        ConnectionScript(
            "also when the answer has begun",
            [.get, .answerHead, .head(.GET, .http1_1, ["Host": "other"]), .answerEnd, .taken, .seconds(5)],
            ["drop", "linger", "close @1"]),
    ])
    func unreadableAfterRequests(_ script: ConnectionScript) {
        script.check()
    }

    @Test(arguments: [
        ("GET /", HeadBeginning.request), ("OPTIONS *", .request), ("M-SEARCH /x", .request),
        ("GET", .method(byteCount: 3)),
        ("GET ", .target), ("GET x", .noRequest), (" /", .noRequest), ("G(T /", .noRequest), ("\r\n", .noRequest),
        (String(repeating: "A", count: 62) + " /", .request), (String(repeating: "A", count: 63) + " /", .noRequest),
    ])
    func aHeadBeginsWithAMethodAndAPath(_ text: String, _ beginning: HeadBeginning) {
        var whole = HeadBeginning.empty
        whole.read(text.utf8)
        #expect(whole == beginning)
        var pieces = HeadBeginning.empty
        for byte in text.utf8 { pieces.read([byte]) }
        #expect(pieces == beginning)
    }
}

extension HTTPSettings {
    static func with(_ change: (inout HTTPSettings) -> Void) -> HTTPSettings {
        var settings = HTTPSettings()
        change(&settings)
        return settings
    }
}
