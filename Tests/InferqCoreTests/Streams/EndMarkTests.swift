import InferqCore
import TestSupport
import Testing

struct EndMarkTests {
    @Test(
        arguments: [
            ("/v1/chat/completions", .done), ("/v1/completions", .done),
            ("/v1/chat/completions?a=/v1/responses", .done),
            ("/v1/responses", .responses), ("/v1/messages", .message), ("/completion", .llama),
            ("/completions", .llama),
            ("/infill", .llama), ("/generate", .generated), ("/generate_stream", .generated),
            ("/v1/audio/speech", .none), ("/v1/chat/completions/x", .none), ("/", .none), ("/api/chat", .none),
        ] as [(String, EndMark)]
    )
    func thePathsOfOpenAIAndItsServersHaveTheirMarks(_ path: String, _ mark: EndMark) {
        #expect(EndMark(.openai, path: path, framing: .events) == mark)
        #expect(EndMark(.openai, path: path, framing: .lines) == .none)
        #expect(EndMark(.ollama, path: path, framing: .events) == (path.hasPrefix("/v1/") ? mark : .none))
    }

    @Test
    func theLinesOfOllamaHaveItsMark() {
        #expect(EndMark(.ollama, path: "/api/chat", framing: .lines) == .ollama)
        #expect(EndMark(.ollama, path: "/api/generate?a", framing: .lines) == .ollama)
        #expect(EndMark(.ollama, path: "/api/chat", framing: .events) == .none)
        #expect(EndMark(.ollama, path: "/v1/chat/completions", framing: .lines) == .none)
    }

    @Test(arguments: ["/v1/chat/completions", "/api/chat", "/generate_stream", "/v2/models/m/generate_stream"])
    func theOtherDialectsAndBytesWithoutFramesHaveNone(_ path: String) {
        for framing in [StreamFraming.events, .lines, .none] {
            #expect(EndMark(.none, path: path, framing: framing) == .none)
            #expect(EndMark(.kserve, path: path, framing: framing) == .none)
        }
        for dialect in Dialect.allCases { #expect(EndMark(dialect, path: path, framing: .none) == .none) }
    }

    @Test(
        arguments: [
            (.ollama, #"{"done":true}"#), (.ollama, #"{"done": true }"#), (.ollama, #"{"done_reason":"stop"}"#),
            (.ollama, #"{"done":false,"done_reason":"load"}"#), (.llama, #"{"stop" : true}"#),
            (.generated, #"{"generated_text":""}"#), (.generated, #"{"generated_text":"a"}"#),
            (.message, #"{"type":"message_stop"}"#), (.responses, #"{"type":"response.completed"}"#),
            (.responses, #"{"a":1,"type":"response.incomplete"}"#),
        ] as [(EndMark, String)]
    )
    func aMarkIsAMemberOfTheFrame(_ mark: EndMark, _ json: String) {
        #expect(hasMark(mark, "data: \(json)\n\n", .events))
        #expect(hasMark(mark, "\(json)\n", .lines))
        #expect(!hasMark(mark, "data: {\"a\":\(json)}\n\n", .events), "further in")
        #expect(!hasMark(mark, "data: [\(json)]\n\n", .events), "in a list")
    }

    @Test(
        arguments: [
            (.ollama, #"{"done":false}"#), (.ollama, #"{"done":"true"}"#), (.ollama, #"{"done":1}"#),
            (.ollama, #"{"done_reason":null}"#), (.ollama, #"{"done_reason":""}"#), (.ollama, #"{"done":true"#),
            (.llama, #"{"stop":false}"#), (.llama, #"{"stop":["a"]}"#), (.llama, #"{"stop":true}}"#),
            (.generated, #"{"generated_text":null}"#), (.message, #"{"type":"message_stops"}"#),
            (.message, #"{"type":"response.completed"}"#), (.responses, #"{"type":"message_stop"}"#),
            (.responses, #"{"type":"response.failed"}"#), (.responses, "[DONE]"), (.ollama, "[DONE]"),
            (.done, #"{"type":"response.completed","done":true,"stop":true,"generated_text":"a"}"#),
        ] as [(EndMark, String)]
    )
    func nothingElseIsAMark(_ mark: EndMark, _ json: String) {
        #expect(!hasMark(mark, "data: \(json)\n\n", .events))
        #expect(!hasMark(mark, "\(json)\n", .lines))
    }

    @Test
    func theNameOfAnEventIsAMarkIfItHasData() {
        #expect(hasMark(.message, "event: message_stop\ndata: {}\n\n", .events))
        #expect(hasMark(.responses, "event:response.incomplete\ndata: {}\n\n", .events))
        #expect(!hasMark(.message, "event: message_stop\n\n", .events))
        #expect(!hasMark(.message, "event: message_stop\ndata: {\n\n", .events))
        #expect(!hasMark(.done, "event: message_stop\ndata: {}\n\n", .events))
    }

    private func hasMark(_ mark: EndMark, _ text: String, _ framing: StreamFraming) -> Bool {
        var scanner = StreamScanner(framing: framing, mark: mark, findsErrors: true)
        scanner.read(text)
        return scanner.hasEndMark
    }
}
