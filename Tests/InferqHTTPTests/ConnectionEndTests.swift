import NIOCore
import NIOHTTP1
import Testing

@testable import InferqHTTP

private let upgrade = ["Connection": "Upgrade", "Upgrade": "h2c"]

/// How long a connection is kept, and how it ends.
struct ConnectionEndTests {
    @Test(arguments: [
        ConnectionScript(
            "requests follow each other", Array(repeating: [Event.get, .answer(), .taken], count: 20).flatMap(\.self),
            []),
        ConnectionScript(
            "the last one by its own word", [.last, .answer(), .taken, .seconds(5)],
            ["connection: close", "linger", "close @1"]),
        ConnectionScript(
            "or by its route's", [.get, .answer(isLast: true), .taken, .seconds(5)], ["linger", "close @1"]),
        ConnectionScript(
            "a client of HTTP/1.0 gets an answer of HTTP/1.0",
            [.request(.GET, .http1_0), .answer(), .taken, .seconds(5)],
            ["HTTP/1.0", "connection: close", "linger", "close @1"]),
        ConnectionScript(
            "and may keep the connection",
            [.request(.GET, .http1_0, ["Connection": "keep-alive"]), .answer(), .taken, .get],
            ["HTTP/1.0"]),
        ConnectionScript(
            "but not after an answer whose end only the connection's end can tell",
            [
                .request(.GET, .http1_0, ["Connection": "keep-alive"]), .answerHead, .answerEnd, .taken, .seconds(5),
            ],
            ["HTTP/1.0", "connection: close", "linger", "close @1"]),
        ConnectionScript(
            "which a HEAD does not have",
            [.request(.HEAD, .http1_0, ["Connection": "keep-alive"]), .answerHead, .answerEnd, .taken, .get],
            ["HTTP/1.0", "skip end"]),
        ConnectionScript(
            "the answer to a HEAD has no end", [.request(.HEAD), .answerHead, .answerEnd, .taken, .get, .answer()],
            ["skip end"]),
        ConnectionScript(
            "answers are told apart by their order",
            [
                .get, .request(.HEAD), .request(.GET, .http1_0, ["Connection": "keep-alive"]), .answer(), .answer(),
                .answer(),
            ],
            ["skip end", "HTTP/1.0"]),
        ConnectionScript(
            "of several answers the last one says that nothing follows",
            [.get, .get, .last, .answer(), .answer(), .answer(), .taken, .taken, .taken],
            ["connection: close", "linger"]),
        ConnectionScript(
            "nothing is read after the last answer", [.last, .answer(), .get, .unreadable(.invalidMethod)],
            ["connection: close", "drop", "drop", "drop error"]),
        ConnectionScript(
            "nothing is written after it", [.last, .answer(), .answer()], ["connection: close", "drop"]),
    ])
    func answers(_ script: ConnectionScript) {
        script.check()
    }

    @Test(arguments: [
        ConnectionScript(
            "the last answer is cut off by nothing but the idle time, until the kernel has it",
            [.last, .answer(), .seconds(20), .taken, .seconds(5)], ["connection: close", "linger @20", "close @21"]),
        ConnectionScript(
            "which ends the connection of a client that reads nothing", [.last, .answer(), .seconds(100)],
            ["connection: close", "close @75"]),
        ConnectionScript(
            "an earlier answer is waited for, too",
            [.get, .get, .answer(), .answer(isLast: true), .taken, .seconds(5), .taken], ["linger @5"]),
    ])
    func lingering(_ script: ConnectionScript) {
        script.check()
    }

    @Test(arguments: [
        ConnectionScript(
            "without a request the connection is closed after the idle time", [.get, .answer(), .taken, .seconds(200)],
            ["close @75"]),
        ConnectionScript(
            "which begins with the end of an answer",
            [.get, .answer(), .taken, .seconds(30), .get, .seconds(20), .answer(), .taken, .seconds(200)],
            ["close @125"]),
        ConnectionScript(
            "a request that is being answered is not idle", [.get, .answerHead, .seconds(3600), .answerEnd, .taken],
            []),
        ConnectionScript(
            "nor is one that waits behind another", [.get, .get, .answer(), .taken, .seconds(3600)], []),
        ConnectionScript(
            "the time is the setting", settings: .with { $0.idleTimeout = .seconds(12) },
            [.get, .answer(), .taken, .seconds(200)], ["close @12"]),
    ])
    func idle(_ script: ConnectionScript) {
        script.check()
    }

    @Test(arguments: [
        ConnectionScript("without a request it ends the connection", [.inputClosed], ["close"]),
        ConnectionScript(
            "also after requests that were answered", [.get, .answer(), .taken, .inputClosed], ["close"]),
        ConnectionScript(
            "a request is answered in full, as if it were not the last",
            [.get, .inputClosed, .seconds(3), .answer(), .seconds(20), .taken], ["close @23"]),
        ConnectionScript(
            "so are those behind it",
            [.get, .get, .inputClosed, .answer(), .taken, .seconds(3), .answer(), .taken], ["close @3"]),
        ConnectionScript(
            "an answer that is on its way is not cut off",
            [.get, .answer(), .inputClosed, .seconds(3), .taken], ["close @3"]),
        ConnectionScript(
            "after a last request the connection ends as without it",
            [.last, .inputClosed, .answer(), .taken, .seconds(5)], ["connection: close", "linger", "close @1"]),
    ])
    func halfClose(_ script: ConnectionScript) {
        script.check()
    }

    @Test(arguments: [
        ConnectionScript(
            "the decoder, which stops after it, is renewed",
            [.request(.GET, .http1_1, upgrade), .answer(), .taken, .get, .answer()], ["renew decoder"]),
        ConnectionScript(
            "at the end of its body, also when the answer did not wait for that",
            [.head(.POST, .http1_1, upgrade), .answer(), .taken, .body(5), .end], ["renew decoder"]),
        ConnectionScript(
            "each one", [.request(.GET, .http1_1, upgrade), .request(.GET, .http1_1, upgrade), .get],
            ["renew decoder", "renew decoder"]),
        ConnectionScript("half an offer is none", [.request(.GET, .http1_1, ["Upgrade": "h2c"])], []),
        ConnectionScript(
            "one that only the decoder understands ends the connection with its answer",
            [.request(.GET, .http1_1, ["Connection": "upgrade;x", "Upgrade": "h2c"]), .answer(), .taken, .seconds(5)],
            ["connection: close", "linger", "close @1"]),
        ConnectionScript(
            "that of a last request changes nothing",
            [.request(.GET, .http1_1, ["Connection": "close, upgrade", "Upgrade": "h2c"]), .answer(), .taken],
            ["connection: close", "linger"]),
    ])
    func offersToChangeTheProtocol(_ script: ConnectionScript) {
        script.check()
    }
}
