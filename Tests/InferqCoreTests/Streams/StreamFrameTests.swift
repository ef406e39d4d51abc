import InferqCore
import TestSupport
import Testing

/// How event streams and lines are taken apart.
struct StreamFrameTests {
    private func scan(
        _ texts: [String],
        _ mark: EndMark = .done,
        _ framing: StreamFraming = .events
    ) -> StreamScanner {
        var scanner = StreamScanner(framing: framing, mark: mark, findsErrors: true)
        for text in texts { scanner.read(text) }
        return scanner
    }

    @Test(arguments: [
        "data: [DONE]\n\n", "data:[DONE]\n\n", "data: [DONE] \n\n", "data:[DONE]\r\r", "data: [DONE]\r\n\r\n",
        "\u{FEFF}data: [DONE]\n\n", ": a\ndata: [DONE]\n: b\n\n", "data: [DONE]\ndata: more\n\n",
        "id: 1\ndata: [DONE]\nretry: 3\n\n", "\n\n\ndata: [DONE]\n\n", "event: x\ndata: [DONE]\n\n",
    ])
    func theMarkOfChatIsDataThatBeginsWithIt(_ text: String) {
        #expect(scan([text]).hasEndMark)
    }

    @Test(arguments: [
        "data: [DONE]\n", "data: [DONE]", "data: x[DONE]\n\n", "data\n\n", ":data: [DONE]\n\n", "date: [DONE]\n\n",
        "data: \ndata: [DONE]\n\n", "[DONE]\n\n", " data: [DONE]\n\n", "\u{FEFF}\u{FEFF}data: [DONE]\n\n",
        "data: [DONE\n]\n\n", "event: [DONE]\n\n", #"data: {"a":"[DONE]"}"# + "\n\n", "data : [DONE]\n\n",
    ])
    func nothingElseIsTheMarkOfChat(_ text: String) {
        #expect(!scan([text]).hasEndMark)
    }

    @Test
    func theDataOfSeveralLinesIsOne() {
        let scanner = scan(["data: {\"error\":\ndata\ndata:\ndata: {\"message\"\n:c\ndata:  :\"a\"}}\n\n"])
        #expect(scanner.error == "a")
        #expect(scan([": x\nevent: a\ndata: {\"type\":\ndata: \"message_stop\"}\n\n"], .message).hasEndMark)
    }

    @Test
    func aLineFeedBehindAReturnEndsNoFrameOfItsOwn() {
        var scanner = scan(["data: a\r", "\n"])
        #expect(scanner.frameEnd == 0 && scanner.progress == 9)
        scanner.read("\r")
        #expect(scanner.frameEnd == 10)
        scanner.read("\n")
        #expect(scanner.frameEnd == 11 && scanner.progress == 9)
        scanner.read("data: b")
        #expect(scanner.frameEnd == 11 && scanner.progress == 18)
    }

    @Test
    func aFrameThatEndsWithAReturnDoesNotWaitForALineFeed() {
        var scanner = scan(["data: [DONE]\r\r"])
        #expect(scanner.frameEnd == 14 && scanner.hasEndMark)
        scanner.read("data: b\r")
        #expect(scanner.frameEnd == 14 && scanner.progress == 22)
    }

    @Test
    func pingsAreNoProgressAndLeaveAFrameEnd() {
        var scanner = scan(["data: a\n\n"])
        for (text, end) in [(":", 9), (" ping", 9), ("\n", 16), ("\n", 17), (":\r", 19), ("\n\r\n", 22)] {
            scanner.read(text)
            #expect(scanner.frameEnd == end && scanner.progress == 8)
        }
    }

    @Test
    func aCommentInsideOfAFrameIsNotItsEnd() {
        let scanner = scan(["data: a\n: ping\n"])
        #expect(scanner.frameEnd == 0 && scanner.progress == 8)
    }

    @Test
    func aReturnInsideOfALineEndsNoneOfJSON() {
        let scanner = scan(["{\"done\":\r", "true}\r\n"], .ollama, .lines)
        #expect(scanner.hasEndMark && scanner.frameEnd == 16)
        #expect(!scan(["{\"done\":true}\r"], .ollama, .lines).hasEndMark)
    }

    // MARK: The end of the stream

    @Test(
        arguments: [
            ("data: [DONE]", .done, .events), ("data: [DONE]\n", .done, .events),
            ("{\"done\":true}", .ollama, .lines), ("data: {\"stop\":true}", .llama, .events),
            ("event: message_stop\ndata: {\"a\":0}\n", .message, .events),
        ] as [(String, EndMark, StreamFraming)]
    )
    func aLastFrameWithoutItsEndCountsOnceTheStreamHasEnded(
        _ text: String,
        _ mark: EndMark,
        _ framing: StreamFraming
    ) {
        var scanner = scan([text], mark, framing)
        #expect(!scanner.hasEndMark)
        scanner.finish()
        #expect(scanner.hasEndMark && scanner.frameEnd == 0 && scanner.progress == text.utf8.count)
    }

    @Test(
        arguments: [
            ("data: [DONE", .done, .events), ("{\"done\":true", .ollama, .lines),
            ("event: message_stop\n", .message, .events),
            ("event: message_stop\ndata: {\"type\":\"message_stop\"", .message, .events), (": [DONE]", .done, .events),
        ] as [(String, EndMark, StreamFraming)]
    )
    func aTornFrameIsNoEnd(_ text: String, _ mark: EndMark, _ framing: StreamFraming) {
        var scanner = scan([text], mark, framing)
        scanner.finish()
        #expect(!scanner.hasEndMark && scanner.error == nil && !scanner.mayBeginWithError)
    }

    @Test
    func anErrorWithoutItsEndCountsOnceTheStreamHasEnded() {
        for (text, framing) in [("{\"error\":\"a\"}", StreamFraming.lines), ("data: {\"error\":\"a\"}\n", .events)] {
            var scanner = scan([text], .none, framing)
            #expect(scanner.error == nil && scanner.mayBeginWithError)
            scanner.finish()
            #expect(scanner.error == "a" && scanner.beganWithError)
        }
    }

    // MARK: What is held back

    @Test(arguments: [
        "d", "data", "data:", "data: {", "data: {\"id\":1,", "data: {}\n", "event: err", "event: error\ndata: x", "e",
        "error: x", "id: 1\n", "\u{FEFF}d", ": ping\n\ndata:", "event: response.failed\ndata", "data: {\ndata: x",
    ])
    func aFirstFrameThatMayBecomeAnErrorIsHeldBack(_ text: String) {
        #expect(scan([text]).mayBeginWithError)
    }

    @Test(arguments: [
        "", "\n", ":", ": {\"error\"", "data: [", "data:x", "data: x\ndata: {", "data: {}\n\n", "data: {}\n\ndata: {",
        "\u{FEFF}", "\u{FEFF}:",
    ])
    func nothingElseIsHeldBack(_ text: String) {
        #expect(!scan([text]).mayBeginWithError)
    }

    @Test
    func aLineThatIsNoObjectIsNotHeldBack() {
        for text in ["{", " {\"a\""] { #expect(scan([text], .ollama, .lines).mayBeginWithError, "\(text)") }
        for text in ["[", "x", " ", "{}\n"] { #expect(!scan([text], .ollama, .lines).mayBeginWithError, "\(text)") }
    }

    @Test
    func noMoreIsHeldBackThanAPiece() {
        var scanner = scan([": ping\n\n", "data: {\"error\":\"" + String(repeating: "a", count: 65_000)])
        #expect(scanner.mayBeginWithError)
        scanner.read(String(repeating: "a", count: 1000))
        #expect(!scanner.mayBeginWithError)
        scanner.read("\"}\n\n")
        #expect(scanner.beganWithError)
    }

    // MARK: Long frames

    private static let long = String(repeating: "x", count: StreamFrameTests.limit)
    private static let limit = 1 << 20

    @Test(
        arguments: [
            (#"{"type":"response.completed","response":{"a":""#, .responses),
            (#"{"done":true,"context":[""#, .ollama), (#"{"generated_text":""#, .generated),
        ] as [(String, EndMark)]
    )
    func theBeginningOfALongFrameCounts(_ beginning: String, _ mark: EndMark) {
        let scanner = scan(["data: " + beginning, Self.long, Self.long, "\"\n", "\n"], mark)
        #expect(scanner.hasEndMark && scanner.error == nil && scanner.frameEnd == scanner.byteCount)
    }

    @Test
    func theNameOfALongFrameCountsWhereverItStands() {
        #expect(scan(["event: response.completed\ndata: {\"a\":\"", Self.long, "\"}\n\n"], .responses).hasEndMark)
        #expect(scan(["data: {\"a\":\"", Self.long, "\"}\nevent: response.completed\n\n"], .responses).hasEndMark)
        #expect(scan(["event: error\ndata: ", Self.long, "\n\n"]).error?.utf8.count == 2048)
    }

    @Test
    func theBeginningOfAFrameOfManyLinesCounts() {
        let lines = String(repeating: "data: \"xxxxxxxx\",\n", count: Self.limit / 8)
        #expect(scan(["data: {\"done\":true,\"a\":[\n", lines, "\n"], .ollama).hasEndMark)
    }

    @Test
    func aLongFrameThatIsTornIsNoEnd() {
        var scanner = scan(["data: {\"done\":true,\"a\":\"", Self.long], .ollama)
        scanner.finish()
        #expect(!scanner.hasEndMark)
    }

    @Test
    func theFrameBehindALongOneIsJudgedByItself() {
        #expect(!scan(["data: ", Self.long, "\n\ndata: {\"done\":true\n\n"], .ollama).hasEndMark)
        #expect(scan(["data: ", Self.long, "\n\ndata: {\"done\":true}\n\n"], .ollama).hasEndMark)
    }

    @Test
    func whatStandsPastTheLimitDoesNotCount() {
        let members = ["data: {\"a\":\"", Self.long, "\",\"stop\":true,\"error\":\"a\"}\n\n"]
        let scanner = scan(members, .llama)
        #expect(!scanner.hasEndMark && scanner.error == nil)
        #expect(scan(members + ["data: {\"stop\":true}\n\n"], .llama).hasEndMark)
    }

    @Test
    func anErrorWhoseWordsAreLongIsOne() throws {
        let message = try #require(scan(["data: {\"error\":{\"message\":\"", Self.long, "\"}}\n\n"]).error)
        #expect(message.hasPrefix(#"{"message":"xxx"#) && message.utf8.count == 2048)
        let text = try #require(scan(["{\"error\":\"é", Self.long, "\"}\n"], .none, .lines).error)
        #expect(text.hasPrefix("éxxx") && text.utf8.count == 2048)
        let whole = try #require(scan(["data: {\"error\":\"x" + String(repeating: "é", count: 3000) + "\"}\n\n"]).error)
        #expect(whole.utf8.count == 2047 && whole.hasSuffix("é"))
    }

    @Test(.timeLimit(.minutes(10)))
    func hostileBytesCostNoMoreThanTheirLength() {
        for text in ["\r", "\n", "data\n", "data:\"error\"\r", "\"error\":", ":", "event: error\n\n", "{\"error\":"] {
            var scanner = StreamScanner(framing: .events, mark: .ollama, findsErrors: true)
            let piece = Array(String(repeating: text, count: 65_536 / text.utf8.count).utf8)
            for _ in 0..<64 { scanner.read(piece) }
            scanner.finish()
        }
    }
}
