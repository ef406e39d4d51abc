import InferqCore
import TestSupport
import Testing

/// Which frames are errors, and what their words are.
struct StreamErrorTests {
    private func error(_ text: String, _ framing: StreamFraming = .events) -> String? {
        var scanner = StreamScanner(framing: framing, mark: .done, findsErrors: true)
        scanner.read(text)
        return scanner.error
    }

    @Test(arguments: [
        (#"{"error":"a"}"#, "a"), (#"{"error":{"message":"a","detail":"b"}}"#, "a"),
        (#"{"error":{"detail":"b"}}"#, "b"),
        (#"{"error":{"message":"","detail":"b"}}"#, "b"), (#"{"error":{"message":null,"error":"c"}}"#, "c"),
        (#"{"error":{"code":5}}"#, #"{"code":5}"#), (#"{"error":{"message":{"detail":[1]}}}"#, "[1]"),
        (#"{"error":true,"message":"a"}"#, "a"), (#"{"error":1,"message":"a"}"#, "a"),
        (#"{"error":true,"message":true}"#, "an error without a message"),
        (#"{"error":true,"message":{"message":true}}"#, "an error without a message"),
        (#"{"detail":"a","error":true}"#, "a"), (#"{"error":1}"#, "1"),
        (#"{"error":true}"#, "an error without a message"), (#"{"error":["a"]}"#, #"["a"]"#),
        (#"{ "error" : "\u00e9\n" }"#, "é\n"), (#"{"a":{"error":null},"error":"a"}"#, "a"),
        (#"{"error":null,"error":"a"}"#, "a"), (#"{"type":"error","message":"a"}"#, "a"),
        (#"{"type":"error","error":{"type":"x","message":"a"}}"#, "a"), (#"{"type":"error"}"#, #"{"type":"error"}"#),
        (#"{"type":"response.failed","response":{"error":{"code":"c","message":"a"}}}"#, "a"),
        (#"{"type":"response.failed","response":{"error":null}}"#, "an error without a message"),
        (#"{"type":"response.failed"}"#, "an error without a message"),
        // What is no JSON, but an error before it stops to be.
        (#"{"error":"a""#, "a"), (#"{"error":{"message":"a","x":NaN}}"#, #"{"message":"a","x":NaN}}"#),
    ])
    func aFrameWithATruthyErrorIsOne(_ json: String, _ words: String) {
        #expect(error("data: \(json)\n\n") == words)
        #expect(error("\(json)\n", .lines) == words)
    }

    @Test(arguments: [
        #"{"error":null}"#, #"{"error":false}"#, #"{"error":""}"#, #"{"error":0}"#, #"{"error":{}}"#, #"{"error":[ ]}"#,
        #"{"error": { } }"#, #"{"a":{"error":"a"}}"#, #"[{"error":"a"}]"#, #""error""#, #"{"a":"\"error\":1"}"#,
        #"{"a":"error","b":["error"]}"#, #"{"errors":"a"}"#, #"{"Error":"a"}"#, #"{"type":"errors"}"#, #"error"#,
        #"{"type":{"error":1}}"#, #"{"a":{"type":"error"}}"#, #"{"a":"response.failed"}"#,
        #"{"error":"a","error":null}"#,
        #"{"error":0.0e5}"#, #"{"error":"#, #"{"error"}"#, #"{"error":}"#, #"{"error":@"#, #"{"a":1}{"error":"a"}"#,
    ])
    func nothingElseInJSONIsAnError(_ json: String) {
        #expect(error("data: \(json)\n\n") == nil)
        #expect(error("\(json)\n", .lines) == nil)
    }

    @Test(arguments: [
        ("event: error\ndata: boom\n\n", "boom"), ("event:error\ndata: \"boom\"\n\n", "boom"),
        ("event: error\ndata: boom\ndata: bang\n\n", "boom\nbang"), ("data: boom\nevent: error\n\n", "boom"),
        ("event: error\n\n", "an error without a message"), ("event: error\ndata: {\"detail\":\"a\"}\n\n", "a"),
        ("event: error\ndata: {\"error\":null,\"message\":\"a\"}\n\n", "a"), ("event: error\ndata: 5\n\n", "5"),
        ("event: response.failed\ndata: {}\n\n", "an error without a message"), ("error: boom\n\n", "boom"),
        ("error: {\"code\":1,\"message\":\"a\"}\n\n", "a"), ("error\n\n", "an error without a message"),
    ])
    func anEventOfThatNameIsAnError(_ text: String, _ words: String) {
        #expect(error(text) == words)
    }

    @Test(arguments: [
        "event: errors\ndata: a\n\n", "event: error\nevent: a\ndata: b\n\n", "id: error\ndata: a\n\n",
        ":event: error\ndata: a\n\n", "event: error\n", "event: a error\ndata: {}\n\n", "errors: a\n\n",
    ])
    func anEventOfAnotherNameIsNone(_ text: String) {
        #expect(error(text) == nil)
    }

    @Test
    func theFirstErrorIsKeptAndAMarkDoesNotUndoIt() {
        var scanner = StreamScanner(framing: .events, mark: .done, findsErrors: true)
        scanner.read("data: {}\n\ndata: {\"error\":\"a\"}\n\ndata: {\"error\":\"b\"}\n\ndata: [DONE]\n\n")
        #expect(scanner.error == "a" && scanner.hasEndMark && !scanner.beganWithError)
    }

    @Test
    func commentsAreNoFrames() {
        var scanner = StreamScanner(framing: .events, mark: .done, findsErrors: true)
        scanner.read(": a\n\n:\r\n\r\n\n: b\ndata: {\"error\":\"a\"}\n\n")
        #expect(scanner.beganWithError)
    }
}
