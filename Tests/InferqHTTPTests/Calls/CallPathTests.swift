import Testing

@testable import InferqHTTP

struct CallPathTests {
    @Test(arguments: [
        "/.", "/..", "/a/.", "/a/..", "/./a", "/../a", "/a/./b", "/a/../b", "/a/..//b", "/a/%2e", "/a/%2E", "/a/%2e%2e",
        "/a/%2E%2e/b", "/a/.%2e/b", "/a/%2e./b", "/a%2f..%2fb", "/a%2F%2e%2E%2Fb", "/a%5c..%5Cb", "/a\\..\\b",
        "/a/..\\b",
        "/a\\../b", "/a%5c../b", "/a/%252e%252e/b", "/a/%25%32%65./b", "/a%252f..", "/a/..;x=1/b", "/a/.;/b",
        "/a/%2e%2e%3b/b",
        "/a/%2e%2e%3Bx", "/a/../", "/..%2f", "/%2e", "/%2e%2e/", "/a/b/c/%2E%2E%2F%2E%2E", "/a/../\u{301}",
        "/a/..%2F%CC%81", "/a/\u{301}/..", "/a/..%5c%CC%81b",
    ])
    func aDotSegmentIsFoundHoweverItIsWritten(_ path: String) {
        #expect(CallPath.hasDotSegments(path))
    }

    @Test(arguments: [
        "", "/", "/a", "/a.b", "/.a", "/a.", "/...", "/..a", "/a..", "/v1/models/qwen2.5", "/a/%2ea", "/a%2e",
        "/a/b%2Fc",
        "/a/%", "/a/%2", "/a/%zz", "/a/%C3%A9", "/a//b", "/.well-known/x", "/a/;..", "/a/%20..", "/v1.0/x",
        "/a/%2e%2e%2e",
        "/a/x=../b", "/a/..x;/b", "/a/..\u{301}/b",
    ])
    func otherDotsAreNone(_ path: String) {
        #expect(!CallPath.hasDotSegments(path))
    }

    @Test(arguments: [
        "/api/pull", "/api/delete", "/api/create", "/api/copy", "/api/push", "/api/blobs/sha256:1", "/api/pull/",
        "//api/pull",
        "/api//pull", "/api/%70ull", "/api/%70%75%6c%6C", "/%61pi/pull", "/api%2Fpull", "/api%2fpull", "/api/%2570ull",
        "/API/Pull", "/api/PULL", "/api\\pull", "/api%5Cpull", "/api/pull;x", "/x/api/pull", "/api/pull/x",
        "/api/blobs",
    ])
    func administrationIsFoundHoweverItIsWritten(_ path: String) {
        #expect(CallPath.isAdministration(path))
    }

    @Test(arguments: [
        "/", "/api", "/api/", "/api/chat", "/api/generate", "/api/pulls", "/api/pul", "/pull", "/apis/pull", "/v1/pull",
        "/api/show", "/api/chat/pull", "/api.pull", "/api/embed", "/pull/api", "/api/%2570ull0",
    ])
    func otherCallsAdministerNothing(_ path: String) {
        #expect(!CallPath.isAdministration(path))
    }

    @Test(arguments: [
        ("", ""), ("a", "a"), ("%61", "a"), ("%C3%A9", "\u{e9}"), ("%c3%a9", "\u{e9}"), ("%", "%"), ("%4", "%4"),
        ("%zz", "%zz"),
        ("%%41", "%A"), ("%2541", "%41"), ("a%2Fb", "a/b"), ("%41%", "A%"), ("%E2%82", "\u{fffd}"), ("+", "+"),
        ("%4g%41", "%4gA"),
    ])
    func escapesAreDecodedOnce(_ text: String, _ decoded: String) {
        #expect(text.decodingEscapes == decoded)
    }

    @Test(arguments: [("/a", "/a"), ("/a#b", "/a"), ("#", ""), ("/a#b#c", "/a"), ("/a%23b", "/a%23b")])
    func aFragmentIsNoPath(_ path: String, _ rest: String) {
        #expect(CallPath.withoutFragment(path) == rest)
    }
}
