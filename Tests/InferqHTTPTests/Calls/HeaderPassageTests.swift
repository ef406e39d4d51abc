import HTTPTypes
import InferqCore
import NIOHTTP1
import Testing

@testable import InferqHTTP

struct HeaderPassageTests {
    private func fields(_ lines: [String]) -> HTTPFields {
        var fields = HTTPFields()
        for line in lines {
            let name = line.prefix { $0 != ":" }
            guard let known = HTTPField.Name(String(name)) else { continue }
            fields.append(HTTPField(name: known, value: String(line.dropFirst(name.count + 2))))
        }
        return fields
    }

    private func lines(_ fields: [HeaderField]) -> [String] { fields.map { "\($0.name): \($0.value)" } }

    @Test(arguments: [
        "Accept: text/event-stream", "User-Agent: x", "Inference-Header-Content-Length: 12", "Content-Encoding: zstd",
        "X-Stainless-Retry-Count: 1",
        "Idempotency-Key: k", "X-Conversation-Id: c", "OpenAI-Organization: o", "anthropic-version: 2023-06-01",
        "Origin: http://x",
        "Accept-Language: de", "If-None-Match: \"x\"", "Range: bytes=0-", "tracestate: a=b", "Forwarded: for=x",
        "x-lower: Y", "X-Inferq: 1",
        "Proxied: x", "Last-Event-ID: 7",
    ])
    func aFieldReachesTheServer(_ line: String) throws {
        #expect(lines(try HeaderPassage.toServer(fields([line]))) == [line])
    }

    @Test(arguments: [
        "Connection: keep-alive", "Keep-Alive: timeout=5", "Proxy-Connection: x", "Proxy-Authorization: x",
        "Proxy-Anything: x", "TE: trailers",
        "Trailer: x", "Transfer-Encoding: chunked", "Upgrade: h2c", "HTTP2-Settings: x", "Authorization: Bearer x",
        "Cookie: a=b", "X-Api-Key: x",
        "x-api-key: x", "Accept-Encoding: gzip", "Host: x", "Content-Length: 1", "Content-Type: a/b",
        "Expect: 100-continue", "Prefer: wait=1",
        "X-Inferq-Priority: 1", "x-inferq-anything: 1", "X-Request-Id: x", "X-Inference-Id: x", "X-Event-Id: x",
        "X-Attempt: 1",
        "X-Notify-Url: x", "X-Notify-Token: x", "traceparent: x",
    ])
    func anotherDoesNot(_ line: String) throws {
        #expect(lines(try HeaderPassage.toServer(fields([line, "A: b"]))) == ["A: b"])
    }

    @Test
    func whatConnectionNamesEndsThere() throws {
        let sent = fields([
            "Connection: close, X-One", "connection: x-two ,,\tX-Three", "X-One: 1", "X-Two: 2", "x-three: 3",
            "X-Four: 4",
        ])
        #expect(lines(try HeaderPassage.toServer(sent)) == ["X-Four: 4"])
        let answered: HTTPHeaders = ["Connection": "X-One", "X-One": "1", "X-Two": "2"]
        #expect(lines(try #require(HeaderPassage.toClient(answered))) == ["X-Two: 2"])
    }

    @Test
    func authorizationPassesWhereItMay() throws {
        let sent = fields(["Authorization: Bearer x", "Cookie: y", "X-Api-Key: z"])
        #expect(lines(try HeaderPassage.toServer(sent, authorization: true)) == ["Authorization: Bearer x"])
    }

    @Test
    func fieldsKeepTheirOrderAndNumber() throws {
        let sent = ["X-A: 1", "X-B: 2", "x-a: 3", "X-A: 1"]
        #expect(lines(try HeaderPassage.toServer(fields(sent))) == sent)
    }

    @Test
    func theFieldsOfARequestHaveABound() throws {
        // Name, value and four bytes between and behind them.
        let fits = fields(["X-A: " + String(repeating: "x", count: (8 << 10) - 7)])
        #expect(try HeaderPassage.toServer(fits).count == 1)
        let tooLong = fields(["X-A: " + String(repeating: "x", count: (8 << 10) - 6)])
        do {
            _ = try HeaderPassage.toServer(tooLong)
            Issue.record("it is refused")
        } catch {
            #expect(error.status.code == 431)
            #expect(!error.closesConnection)
        }
        // What does not pass does not count.
        let cookie = fields(["Cookie: " + String(repeating: "x", count: 20_000), "A: b"])
        #expect(try HeaderPassage.toServer(cookie).count == 1)
    }

    @Test
    func theFieldsOfAnAnswerPassVerbatim() throws {
        let answered = HTTPHeaders([
            ("Server", "x"), ("Set-Cookie", "a=1"), ("set-cookie", "b=2"), ("X-Request-Id", "r"),
            ("Cache-Control", "no-cache"),
            ("Inference-Header-Content-Length", "3"), ("openai-processing-ms", "7"), ("Connection", "keep-alive"),
            ("Keep-Alive", "timeout=5"),
            ("Transfer-Encoding", "chunked"), ("Proxy-Authenticate", "x"), ("Trailer", "x"), ("TE", "x"),
            ("Upgrade", "h2c"),
            ("Content-Type", "a/b"), ("Content-Encoding", "gzip"), ("Content-Length", "3"),
        ])
        #expect(
            lines(try #require(HeaderPassage.toClient(answered))) == [
                "Server: x", "Set-Cookie: a=1", "set-cookie: b=2", "X-Request-Id: r", "Cache-Control: no-cache",
                "Inference-Header-Content-Length: 3", "openai-processing-ms: 7",
            ]
        )
    }

    @Test
    func theFieldsOfAnAnswerHaveABound() {
        #expect(HeaderPassage.toClient(["A": String(repeating: "x", count: (16 << 10) - 5)])?.count == 1)
        #expect(HeaderPassage.toClient(["A": String(repeating: "x", count: (16 << 10) - 4)]) == nil)
    }

    @Test
    func theConfigurationsFieldsComeInsteadOfAClients() {
        let headers = HeaderPassage.request(
            [HeaderField("authorization", "client"), HeaderField("X-A", "1")],
            [HeaderSetting(name: "Authorization", value: "key"), HeaderSetting(name: "X-B", value: "2")]
        )
        #expect(
            headers.map { "\($0.name): \($0.value)" } == [
                "X-A: 1", "Authorization: key", "X-B: 2", "Accept-Encoding: identity",
            ])
        let encoded = HeaderPassage.request([], [HeaderSetting(name: "accept-encoding", value: "gzip")])
        #expect(encoded["accept-encoding"] == ["gzip"])
    }

    @Test(arguments: [
        (["Upgrade: websocket", "Sec-WebSocket-Key: x"], true),
        (["upgrade: WebSocket", "sec-websocket-key: x", "Connection: Upgrade"], true),
        (["Upgrade: h2c, websocket", "Sec-WebSocket-Key: x"], true), (["Upgrade: websocket"], false),
        (["Sec-WebSocket-Key: x"], false),
        (["Upgrade: h2c", "Sec-WebSocket-Key: x"], false), (["Upgrade: TLS/1.3"], false),
        (["Upgrade: websockets", "Sec-WebSocket-Key: x"], false), ([], false),
    ])
    func aHandshakeIsKnown(_ sent: [String], _ isHandshake: Bool) {
        #expect(HeaderPassage.isWebSocketHandshake(fields(sent)) == isHandshake)
    }

    /// Another host's worker hands in what it will.
    @Test
    func noStoredFieldSaysWhereAnAnswerEnds() {
        let stored = [
            HeaderField("Content-Length", "5"), HeaderField("X-A", "1"), HeaderField("transfer-encoding", "chunked"),
            HeaderField("CONNECTION", "close"), HeaderField("X-B", "2"),
        ]
        #expect(HTTPFields(stored).map(\.name.rawName) == ["X-A", "X-B"])
    }
}
