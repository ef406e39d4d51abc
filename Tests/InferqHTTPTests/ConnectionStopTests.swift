import NIOCore
import NIOHTTP1
import Testing

@testable import InferqHTTP

/// A connection while the service stops.
struct ConnectionStopTests {
    @Test(arguments: [
        ConnectionScript(
            "an idle connection has a last second", [.get, .answer(), .taken, .seconds(5), .quiesce, .seconds(60)],
            ["close @6"]),
        ConnectionScript("so has a new one", [.quiesce, .seconds(60)], ["close @1"]),
        ConnectionScript("and a head that is on its way", [.bytes("GET /"), .quiesce, .seconds(60)], ["close @1"]),
        ConnectionScript(
            "and the rest of a body that its answer did not wait for",
            [.head(), .answer(), .taken, .quiesce, .seconds(60)], ["close @1"]),
        ConnectionScript(
            "a request that comes in it is answered, and is the last one",
            [.quiesce, .seconds(0.5), .get, .seconds(3), .answer(), .taken, .seconds(60)],
            ["connection: close @3.5", "linger @3.5", "close @4.5"]),
        ConnectionScript(
            "also when its answer is not taken at once",
            [.quiesce, .seconds(0.5), .get, .answer(), .seconds(3), .taken, .seconds(60)],
            ["connection: close @0.5", "linger @3.5", "close @4.5"]),
        ConnectionScript(
            "a body that begins in it has five seconds more", [.quiesce, .seconds(0.5), .head(), .seconds(60)],
            ["refuse body_timeout @6", "break body @6", "close @7"]),
        ConnectionScript(
            "a client that closes its side is not waited for", [.quiesce, .seconds(0.5), .inputClosed], ["close @0.5"]),
    ])
    func withoutARequest(_ script: ConnectionScript) {
        script.check()
    }

    @Test(arguments: [
        ConnectionScript(
            "a request is answered, however long that takes",
            [.get, .quiesce, .seconds(60), .answer(), .taken, .seconds(60)],
            ["connection: close @60", "linger @60", "close @61"]),
        ConnectionScript(
            "so are those behind it, and the last one says that it is that",
            [.get, .seconds(1), .get, .quiesce, .seconds(60), .answer(), .seconds(1), .answer(), .taken, .taken],
            ["connection: close @62", "linger @62"]),
        ConnectionScript(
            "a body that is on its way has five seconds", [.head(), .body(60_000), .quiesce, .seconds(60)],
            ["refuse body_timeout @5", "break body @5", "close @6"]),
        ConnectionScript(
            "one that has come by then is answered",
            [.head(), .quiesce, .seconds(4), .body(5), .end, .seconds(60), .answer(), .taken],
            ["connection: close @64", "linger @64"]),
        ConnectionScript(
            "a body whose answer has begun is not answered a second time",
            [.head(), .answerHead, .quiesce, .seconds(60)], ["close @5"]),
        ConnectionScript(
            "an answer that is not read has five seconds", [.get, .answer(), .quiesce, .seconds(60)], ["close @5"]),
        ConnectionScript(
            "from its end on", [.get, .quiesce, .seconds(60), .answer(), .seconds(60)],
            ["connection: close @60", "close @65"]),
        ConnectionScript(
            "and is taken in that time", [.get, .quiesce, .seconds(60), .answer(), .seconds(4), .taken, .seconds(60)],
            ["connection: close @60", "linger @64", "close @65"]),
        ConnectionScript(
            "a stop does not make the end of a connection longer",
            [.last, .answer(), .taken, .seconds(0.5), .quiesce, .seconds(60)],
            ["connection: close", "linger", "close @1"]),
        ConnectionScript(
            "a refusal is read before the close",
            [.head(.GET, .http1_1, ["Host": "other"]), .quiesce, .seconds(60)], ["refuse malformed_http", "close @1"]),
    ])
    func withRequests(_ script: ConnectionScript) {
        script.check()
    }
}
