import NIOCore
import NIOHTTP1
import Testing

@testable import InferqHTTP

private let expects = ["Expect": "100-continue"]

/// Bodies of requests: their pace, what frames them, and clients that wait to be invited.
struct ConnectionBodyTests {
    @Test(arguments: [
        ConnectionScript("ten seconds are free", [.head(), .seconds(10.5)], []),
        ConnectionScript(
            "then a body that has not come is refused", [.head(), .seconds(60)],
            ["refuse body_timeout @11", "break body @11", "close @12"]),
        ConnectionScript(
            "then every second must have brought its share, on average",
            [.head(), .body(50 * 1024), .seconds(100)],
            ["refuse body_timeout @61", "break body @61", "close @62"]),
        ConnectionScript(
            "a body that keeps the pace goes on",
            [.head(), .seconds(10)] + (0..<60).flatMap { _ in [Event.body(1024), .seconds(1)] } + [.end, .seconds(60)],
            []),
        ConnectionScript(
            "the pace is the setting", settings: .with { $0.bodyMinRate = 1 }, [.head(), .body(20), .seconds(100)],
            ["refuse body_timeout @31", "break body @31", "close @32"]),
        ConnectionScript(
            "what frames a body is not counted", [.head()] + (0..<30).flatMap { _ in [.framing(4096), .seconds(1)] },
            ["refuse body_timeout @11", "break body @11", "close @12"]),
        ConnectionScript(
            "a body that its answer did not wait for is not answered a second time",
            [.head(), .answer(), .taken, .seconds(60)], ["close @11"]),
        ConnectionScript(
            "nor is one whose answer has begun", [.head(), .answerHead, .seconds(60)], ["close @11"]),
        ConnectionScript(
            "nor one behind a request that waits for its answer", [.get, .head(), .seconds(60)], ["close @11"]),
        ConnectionScript(
            "after the rest of such a body the connection is idle",
            [.head(), .answer(), .taken, .seconds(5), .body(10_000), .end, .seconds(100)], ["close @80"]),
        ConnectionScript(
            "a later body has its time from its head",
            [.get, .answer(), .taken, .seconds(30), .head(), .seconds(60)],
            ["refuse body_timeout @41", "break body @41", "close @42"]),
        ConnectionScript(
            "the next body has a time of its own",
            [.head(), .body(5), .end, .answer(), .taken, .seconds(20), .head(), .seconds(10)], []),
        ConnectionScript(
            "a request that is complete may take its time", [.head(), .body(5), .end, .seconds(3600)], []),
    ])
    func pace(_ script: ConnectionScript) {
        script.check()
    }

    @Test(arguments: [
        ConnectionScript("256 KiB may come beside a body", [.head(), .framing(256 << 10)], []),
        ConnectionScript("more of it ends the connection", [.head(), .framing(256 << 10), .framing(1)], ["close"]),
        ConnectionScript(
            "16 bytes beside each byte of a body are free, too",
            [.head(), .body(10_000), .framing((256 << 10) + 160_000)], []),
        ConnectionScript(
            "and no more", [.head(), .body(10_000), .framing((256 << 10) + 160_001)], ["close"]),
        ConnectionScript(
            "each body is counted anew",
            (0..<4).flatMap { _ in [Event.head(), .framing(200 << 10), .end, .answer(), .taken] }, []),
        ConnectionScript(
            "what lies beside a body after its answer counts, too",
            [.head(), .answer(), .taken, .framing((256 << 10) + 1)], ["close"]),
    ])
    func framing(_ script: ConnectionScript) {
        script.check()
    }

    @Test(arguments: [
        ConnectionScript(
            "a body that breaks is refused", [.head(), .body(5), .unreadable(.invalidChunkSize)],
            ["refuse malformed_http", "break body"]),
        ConnectionScript(
            "so is one that the client cuts off",
            [.head(), .body(5), .unreadable(.invalidEOFState), .inputClosed],
            ["refuse malformed_http", "break body", "close"]),
        ConnectionScript(
            "the answer of its route comes too late",
            [.head(), .unreadable(.invalidChunkSize), .answer()],
            ["refuse malformed_http", "break body", "drop"]),
    ])
    func broken(_ script: ConnectionScript) {
        script.check()
    }

    @Test(arguments: [
        ConnectionScript(
            "a client that was invited sends the body",
            [.head(.POST, .http1_1, expects), .invitation, .body(5), .end, .answer(), .taken], []),
        ConnectionScript(
            "one that was not may send it or not: the connection ends with the answer",
            [.head(.POST, .http1_1, expects), .answer(), .taken, .seconds(5)],
            ["connection: close", "linger", "close @1"]),
        ConnectionScript(
            "once all of the body has come that is not in doubt",
            [.head(.POST, .http1_1, expects), .body(5), .end, .answer(), .taken], []),
        ConnectionScript(
            "nor if the answer does not wait for the end of an invited body",
            [.head(.POST, .http1_1, expects), .invitation, .answer(), .taken, .body(5), .end, .get, .answer()], []),
        ConnectionScript(
            "nor for a client of HTTP/1.0, which does not wait",
            [.head(.POST, .http1_0, ["Expect": "100-continue", "Connection": "keep-alive"]), .answer(), .taken],
            [#"pass ["Host", "Connection"]"#, "HTTP/1.0"]),
        ConnectionScript(
            "the answer to an earlier request does not concern it",
            [.get, .head(.POST, .http1_1, expects), .answer(), .taken, .invitation, .body(5), .end, .answer(), .taken],
            []),
        ConnectionScript(
            "the next request does not wait for an invitation of this one",
            [.head(.POST, .http1_1, expects), .body(5), .end, .answer(), .taken, .head(), .answer(), .taken], []),
    ])
    func invitations(_ script: ConnectionScript) {
        script.check()
    }
}
