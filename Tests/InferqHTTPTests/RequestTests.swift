import HTTPTypes
import NIOCore
import NIOHTTP1
import Testing

@testable import InferqHTTP

/// What routes see of a head that the decoder has read.
struct RequestTests {
    private func request(_ uri: String, _ method: HTTPMethod = .GET, _ headers: HTTPHeaders = [:]) throws -> Request {
        let head = HTTPRequestHead(version: .http1_1, method: method, uri: uri, headers: headers)
        return try #require(Request(head, .whole(ByteBuffer())))
    }

    @Test(arguments: [
        ("/", "/", nil), ("/a/b", "/a/b", nil), ("/a?", "/a", ""), ("/a?b=c&d", "/a", "b=c&d"), ("/a?b?c", "/a", "b?c"),
        ("/a?b#c", "/a", "b"), ("/a?#c", "/a", ""), ("/a#b", "/a#b", nil), ("/a#b?c", "/a#b", "c"),
        ("//a//?b", "//a//", "b"),
        ("/%3F?%23", "/%3F", "%23"), ("*", "*", nil), ("/a?http://b/c", "/a", "http://b/c"),
    ])
    func aTargetIsAPathAndAQuery(_ uri: String, _ path: String, _ query: String?) throws {
        let request = try request(uri)
        #expect(request.target == uri)
        #expect(request.path == path)
        #expect(request.query == query)
    }

    @Test(arguments: [
        ("http://h/a", "/a"), ("http://h:80/a?b=c", "/a?b=c"), ("http://h", "/"), ("http://h/", "/"),
        ("http://h?a=b", "/?a=b"),
        ("http://h/a#b", "/a"), ("http://h#a", "/"), ("HTTPS://[::1]:1/a//b", "/a//b"),
    ])
    func anAbsoluteTargetCountsWithoutItsHost(_ uri: String, _ target: String) throws {
        #expect(try request(uri).target == target)
    }

    @Test
    func theHostIsNoOtherField() throws {
        let headers = HTTPHeaders([("Accept", "a"), ("hOST", "h:1"), ("Accept", "b"), ("X-Odd", "\u{e9}")])
        let request = try request("/", .GET, headers)
        #expect(request.authority == "h:1")
        #expect(request.headers.map(\.name.rawName) == ["Accept", "Accept", "X-Odd"])
        #expect(request.headers[.accept] == "a, b")
        #expect(try self.request("/").authority == nil)
    }

    @Test(arguments: [HTTPMethod.GET, .HEAD, .POST, .PUT, .DELETE, .OPTIONS, .PATCH, .TRACE, .MSEARCH, .SOURCE])
    func methodsKeepTheirNames(_ method: HTTPMethod) throws {
        #expect(try request("/", method).method.rawValue == method.rawValue)
    }

    @Test
    func aMethodThatIsNoTokenIsNone() {
        let head = HTTPRequestHead(version: .http1_1, method: .RAW(value: "A B"), uri: "/")
        #expect(Request(head, .whole(ByteBuffer())) == nil)
    }

    @Test
    func aBodyThatIsWholeIsOnePiece() async throws {
        var pieces: [String] = []
        for try await piece in RequestBody.whole(ByteBuffer(string: "abc")) { pieces.append(String(buffer: piece)) }
        #expect(pieces == ["abc"])
    }

    // MARK: Answers

    @Test
    func anAnswerTellsTheLengthOfItsBodyIfThatIsKnown() {
        #expect(Response(status: .noContent).length == 0)
        #expect(Response.json(Array("{}".utf8)).length == 2)
        #expect(Response(status: .ok, body: .pieces(length: 7) {}).length == 7)
        #expect(Response(status: .ok, body: .pieces(length: nil) {}).length == nil)
    }

    @Test
    func withoutItsBodyAnAnswerHasTheSameHead() {
        var response = Response.json(Array("{}".utf8))
        let headers = response.headers
        response.removeBody()
        #expect(response.headers == headers)
        #expect(response.length == 2)
        guard case .none = response.body else {
            Issue.record("there is a body")
            return
        }
    }

    /// Of a model server's status only the code is kept.
    @Test(arguments: [(200, "OK"), (404, "Not Found"), (422, "Unprocessable Entity"), (520, "")])
    func aStatusHasItsUsualReason(_ code: Int, _ reason: String) {
        let head = Response(status: HTTPResponse.Status(code: code)).head
        #expect(head.status.code == code)
        #expect(head.status.reasonPhrase == reason)
    }
}
