import Testing

@testable import inferq

struct AnswerTextTests {
    struct Sample: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var type = "text/event-stream"
        let answer: String
        let text: String

        /// - Parameter frames: the data of each event.
        static func events(_ name: String, _ frames: [String], _ text: String) -> Sample {
            Sample(testDescription: name, answer: frames.map { "data: \($0)\n\n" }.joined(), text: text)
        }

        static func lines(_ name: String, _ frames: [String], _ text: String) -> Sample {
            Sample(
                testDescription: name, type: "application/x-ndjson", answer: frames.map { $0 + "\n" }.joined(),
                text: text)
        }
    }

    private static let chat = [
        #"{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#,
        #"{"choices":[{"index":0,"delta":{"content":"Gr\u00fc\u00df "}}]}"#,
        #"{"choices":[{"index":0,"delta":{"content":"Gott 😀\n"}}]}"#,
        #"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        #"{"choices":[],"usage":{"total_tokens":9}}"#,
        "[DONE]",
    ]

    static let known: [Sample] = [
        .events("chat", chat, "Grüß Gott 😀\n"),
        .events(
            "the first of two choices",
            [
                #"{"choices":[{"index":1,"delta":{"content":"b"}}]}"#,
                #"{"choices":[{"index":0,"delta":{"content":"a"}}]}"#,
            ], "a"),
        .events(
            "reasoning",
            [
                #"{"choices":[{"delta":{"content":null,"reasoning_content":"so"}}]}"#,
                #"{"choices":[{"delta":{"reasoning_content":" it is"}}]}"#,
                #"{"choices":[{"delta":{"content":"yes"}}]}"#,
            ], "so it is\n\nyes"),
        .events(
            "completions", [#"{"choices":[{"text":"one","index":0}]}"#, #"{"choices":[{"text":" two"}]}"#, "[DONE]"],
            "one two"),
        Sample(
            testDescription: "responses",
            answer: """
                event: response.created
                data: {"type":"response.created","response":{"output":[]}}

                event: response.output_text.delta
                data: {"type":"response.output_text.delta","delta":"He"}

                : ping

                event: response.output_text.delta
                data: {"type":"response.output_text.delta","delta":"llo"}

                event: response.output_text.done
                data: {"type":"response.output_text.done","text":"Hello"}

                event: response.completed
                data: {"type":"response.completed","response":{}}


                """, text: "Hello"),
        Sample(
            testDescription: "messages",
            answer: [
                #"{"type":"message_start","message":{"content":[]}}"#,
                #"{"type":"ping"}"#,
                #"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
                #"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"He"}}"#,
                #"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"llo"}}"#,
                #"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{"}}"#,
                #"{"type":"message_stop"}"#,
            ].map { "event: some\r\ndata: \($0)\r\n\r\n" }.joined(), text: "Hello"),
        .events(
            "llama.cpp",
            [
                #"{"index":0,"content":"He","tokens":[1],"stop":false}"#,
                #"{"content":"llo","stop":false}"#, #"{"content":"","stop":true,"timings":{}}"#,
            ], "Hello"),
        .events(
            "Text Generation Inference",
            [
                #"{"index":1,"token":{"id":1,"text":"He","special":false},"generated_text":null}"#,
                #"{"index":2,"token":{"id":2,"text":"llo"},"generated_text":null}"#,
                #"{"index":3,"token":{"id":3,"text":"</s>","special":true},"generated_text":"Hello"}"#,
            ], "Hello"),
        .lines(
            "Ollama chat",
            [
                #"{"model":"m","message":{"role":"assistant","thinking":"hm"},"done":false}"#,
                #"{"model":"m","message":{"role":"assistant","content":"He"},"done":false}"#,
                #"{"model":"m","message":{"content":"llo"},"done":false}"#,
                #"{"model":"m","message":{"content":""},"done":true,"done_reason":"stop"}"#,
            ], "hm\n\nHello"),
        .lines(
            "Ollama generate",
            [#"{"response":"He","done":false}"#, "", #"{"response":"llo","done":false}"#, #"{"done":true}"#], "Hello"),
        .events(
            "an error in the middle",
            [#"{"choices":[{"delta":{"content":"a"}}]}"#, #"{"error":{"message":"boom"}}"#, "[DONE]"], "a"),
        .events("only the end mark", ["[DONE]"], ""),
        Sample(
            testDescription: "a last frame without its end",
            answer: #"data: {"choices":[{"delta":{"content":"a"}}]}"#, text: "a"),
        Sample(
            testDescription: "a last frame that is torn",
            answer: "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choi", text: "a"),
    ]

    static let foreign: [Sample] = [
        .events("words", ["one", "two"], "data: one\n\ndata: two\n\n"),
        .events("JSON of nobody", [#"{"x":1}"#, #"{"choices":[]}"#], "data: {\"x\":1}\n\ndata: {\"choices\":[]}\n\n"),
        Sample(testDescription: "comments alone", answer: ": a\n\n: b\n\n", text: ": a\n\n: b\n\n"),
        .lines("lines of nobody", [#"{"n":1}"#, #"{"n":2}"#], "{\"n\":1}\n{\"n\":2}\n"),
        Sample(
            testDescription: "JSON that only looks like a line", type: "application/json",
            answer: #"{"response":"x","done":true}"#, text: #"{"response":"x","done":true}"#),
        Sample(
            testDescription: "plain text", type: "text/plain; charset=utf-8", answer: "data: x\n\n",
            text: "data: x\n\n"),
        Sample(testDescription: "no type", type: "", answer: "data: x\n\n", text: "data: x\n\n"),
        Sample(testDescription: "nothing", answer: "", text: ""),
    ]

    private func text(_ sample: Sample, in parts: [ArraySlice<UInt8>]) -> String {
        var text = AnswerText(contentType: sample.type)
        let bytes = parts.flatMap { text.push(Array($0)) } + text.end()
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test(arguments: known + foreign)
    func theTextIsTheSameWhereverTheBytesAreCut(_ sample: Sample) {
        let bytes = Array(sample.answer.utf8)
        #expect(text(sample, in: [bytes[...]]) == sample.text)
        for cut in bytes.indices { #expect(text(sample, in: [bytes[..<cut], bytes[cut...]]) == sample.text) }
        #expect(text(sample, in: bytes.indices.map { bytes[$0...$0] }) == sample.text)
    }

    @Test
    func eachDeltaIsGivenWithTheEndOfItsFrame() {
        var text = AnswerText(contentType: "text/event-stream")
        #expect(text.push(Array("data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n".utf8)).isEmpty)
        #expect(text.push([0x0A]) == Array("a".utf8))
    }

    @Test
    func whatNeverEndsAFrameIsNotHeldForEver() {
        var text = AnswerText(contentType: "text/event-stream")
        let part = [UInt8](repeating: UInt8(ascii: "x"), count: 1 << 18)
        var given = 0
        for _ in 0..<5 { given += text.push(part).count }
        #expect(given == 5 << 18)
    }
}
