import InferqCore
import TestSupport

/// A stream as a model server writes it, part by part.
struct StreamSample: Sendable, CustomStringConvertible {
    enum Part: Sendable {
        case frame(String)
        /// Comments and blank lines.
        case ping(String)
        /// The frame that makes the stream whole.
        case end(String)
        /// A frame with an error, and its words.
        case error(String, String)

        var text: String {
            switch self {
            case .frame(let text), .ping(let text), .end(let text), .error(let text, _): text
            }
        }
    }

    let description: String
    let dialect: Dialect
    let path: String
    let framing: StreamFraming
    let parts: [Part]

    var mark: EndMark { EndMark(dialect, path: path, framing: framing) }
    var bytes: [UInt8] { Array(parts.map(\.text).joined().utf8) }

    /// How many bytes have come with the last part for which `isMeant` holds, or nil.
    private func end(of isMeant: (Part) -> Bool) -> Int? {
        guard let index = parts.firstIndex(where: isMeant) else { return nil }
        return parts[...index].reduce(0) { $0 + $1.text.utf8.count }
    }

    /// After how many bytes the end mark has come; nil: never.
    var markEnd: Int? {
        mark == .none ? 0 : end { if case .end = $0 { true } else { false } }
    }

    /// After how many bytes the error has come; nil: never.
    var errorEnd: Int? { end { if case .error = $0 { true } else { false } } }

    var error: String? {
        for case .error(_, let words) in parts { return words }
        return nil
    }

    var beginsWithError: Bool {
        for part in parts {
            switch part {
            case .ping: continue
            case .error: return true
            case .frame, .end: return false
            }
        }
        return false
    }

    /// With other ends of lines.
    func with(lineEnd: String) -> StreamSample {
        func replaced(_ text: String) -> String {
            // By scalars: CR and LF are one character.
            String(text.unicodeScalars.map { $0 == "\n" ? lineEnd : String($0) }.joined())
        }
        return StreamSample(
            description: description + " with " + lineEnd.debugDescription, dialect: dialect, path: path,
            framing: framing,
            parts: parts.map { part in
                switch part {
                case .frame(let text): .frame(replaced(text))
                case .ping(let text): .ping(replaced(text))
                case .end(let text): .end(replaced(text))
                case .error(let text, let words): .error(replaced(text), words)
                }
            }
        )
    }

    init(
        description: String,
        dialect: Dialect,
        path: String,
        framing: StreamFraming,
        parts: [Part]
    ) {
        self.description = description
        self.dialect = dialect
        self.path = path
        self.framing = framing
        self.parts = parts
    }

    init(_ name: String, _ dialect: Dialect, _ path: String, _ framing: StreamFraming, _ parts: [Part]) {
        self.init(description: name, dialect: dialect, path: path, framing: framing, parts: parts)
    }
}

extension StreamSample {
    /// All of them, with all ends of lines that their framing has.
    static var all: [StreamSample] {
        (whole + broken).flatMap { sample in
            let lineEnds = sample.framing == .events ? ["\n", "\r\n", "\r"] : ["\n", "\r\n"]
            return lineEnds.map { sample.with(lineEnd: $0) }
        }
    }

    static let whole: [StreamSample] = [
        StreamSample(
            "llama.cpp", .openai, "/v1/chat/completions", .events,
            [
                .ping(":\n\n"),
                .frame(chunk(#"{"role":"assistant","content":null}"#)), .ping(":\n\n"),
                .frame(chunk(#"{"content":"an \"error\": {\"message\":\"x\"} é"}"#)),
                .frame(chunk(#"{"reasoning_content":"[DONE]"}"#)),
                .frame(
                    #"data: {"choices":[{"finish_reason":"stop","index":0,"delta":{}}],"#
                        + #""timings":{"prompt_n":1}}"# + "\n\n"
                ),
                .end("data: [DONE]\n\n"),
            ]
        ),
        StreamSample(
            "llama.cpp, natively", .openai, "/completion", .events,
            [
                .frame(
                    #"data: {"index":0,"content":" \"stop\":true","tokens":[5],"stop":false,"id_slot":-1}"# + "\n\n"),
                .end(
                    #"data: {"index":0,"content":"","stop":true,"model":"m","stop_type":"eos","#
                        + #""generation_settings":{"stop":[],"error":"a"}}"# + "\n\n"
                ),
            ]
        ),
        StreamSample(
            "vLLM", .openai, "/v1/completions", .events,
            [
                .frame(
                    #"data: {"id":"cmpl-1","object":"text_completion","created":1,"model":"m","#
                        + #""choices":[{"index":0,"text":"a","logprobs":null,"finish_reason":null,"stop_reason":null}],"#
                        + #""usage":null,"error":null}"# + "\n\n"
                ),
                .frame(#"data: {"id":"cmpl-1","choices":[],"usage":{"total_tokens":3}}"# + "\n\n"),
                .end("data: [DONE]\n\n"),
            ]
        ),
        StreamSample(
            "Ollama", .ollama, "/api/chat", .lines,
            [
                .frame(line(#""message":{"role":"assistant","content":"\"done\":true"},"done":false"#)),
                .frame(line(#""message":{"role":"assistant","content":"{\"error\":\"x\"}"}"#)),
                .end(line(#""message":{"role":"assistant","content":""},"done_reason":"stop","done":true"#)),
            ]
        ),
        StreamSample(
            "Anthropic", .openai, "/v1/messages", .events,
            [
                .frame(event("message_start", #""message":{"id":"msg_1","content":[],"stop_reason":null}"#)),
                .frame(event("ping", #""a":0"#)),
                .frame(event("content_block_delta", #""delta":{"type":"text_delta","text":"message_stop"}"#)),
                .frame(event("message_delta", #""delta":{"stop_reason":"end_turn"}"#)),
                .end(event("message_stop", #""a":0"#)),
            ]
        ),
        StreamSample(
            "Responses", .openai, "/v1/responses", .events,
            [
                .frame(event("response.created", #""sequence_number":0,"response":{"id":"r","error":null}"#)),
                .frame(event("response.output_text.delta", #""delta":"\"response.completed\" [DONE]""#)),
                .end(event("response.completed", #""response":{"id":"r","status":"completed","error":null}"#)),
            ]
        ),
        StreamSample(
            "Responses without names", .openai, "/v1/responses", .events,
            [
                .frame(#"data: {"type":"response.created","response":{"type":"response.completed"}}"# + "\n\n"),
                .end(#"data: {"response":{"error":null}, "type": "response.incomplete"}"# + "\n\n"),
            ]
        ),
        StreamSample(
            "TGI", .openai, "/generate_stream", .events,
            [
                .frame(
                    #"data:{"index":1,"token":{"id":1,"text":"a","special":false},"generated_text":null,"details":null}"#
                        + "\n\n"
                ),
                .ping(": keep-alive\n"),
                .end(
                    #"data:{"index":2,"token":{"id":2,"text":"b"},"generated_text":"ab","details":null}"# + "\n\n"
                ),
            ]
        ),
        StreamSample(
            "MLServer", .kserve, "/v2/models/m/generate_stream", .events,
            [
                .frame(#"data: {"model_name":"m","outputs":[{"name":"error","data":["a"]}],"parameters":{}}"# + "\n\n"),
                .frame("id: 1\nretry: 5\n\n"),
                .frame(#"data: {"model_name":"m","outputs":[{"name":"output","data":["b"]}]}"# + "\n\n"),
            ]
        ),
    ]

    static let broken: [StreamSample] = [
        StreamSample(
            "an error of vLLM", .openai, "/v1/chat/completions", .events,
            [
                .frame(chunk(#"{"content":"a"}"#)),
                .error(
                    #"data: {"error": {"message": "engine died", "type": "Internal", "param": null, "code": 500}}"#
                        + "\n\n",
                    "engine died"
                ),
                .end("data: [DONE]\n\n"),
            ]
        ),
        StreamSample(
            "an error of OpenRouter", .openai, "/v1/chat/completions", .events,
            [
                .ping(": OPENROUTER PROCESSING\n\n"),
                .error(
                    #"data: {"id":"x","choices":[{"delta":{},"finish_reason":"error"}],"error":{"code":502,"message":"gone"}}"#
                        + "\n\n", "gone"
                ),
            ]
        ),
        StreamSample(
            "an error of old llama.cpp", .openai, "/v1/chat/completions", .events,
            [
                .error(
                    #"error: {"code":500,"message":"slot unavailable","type":"server_error"}"# + "\n\n",
                    "slot unavailable"),
                .end("data: [DONE]\n\n"),
            ]
        ),
        StreamSample(
            "an error of Ollama", .ollama, "/api/generate", .lines,
            [
                .frame(line(#""response":"a","done":false"#)), .ping("\n"),
                .error(
                    #"{"error":"an error was encountered while running the model"}"# + "\n",
                    "an error was encountered while running the model"),
            ]
        ),
        StreamSample(
            "an error of Ollama at first", .ollama, "/api/generate", .lines,
            [.ping(" \n"), .error(#" {"error":"out of memory"}"# + "\n", "out of memory")]
        ),
        StreamSample(
            "an error of Anthropic", .openai, "/v1/messages", .events,
            [
                .error(event("error", #""error":{"type":"overloaded_error","message":"Overloaded"}"#), "Overloaded"),
                .end(event("message_stop", #""a":0"#)),
            ]
        ),
        StreamSample(
            "an error of Responses", .openai, "/v1/responses", .events,
            [
                .frame(event("response.created", #""response":{"error":null}"#)),
                .error(
                    event("response.failed", #""response":{"error":{"code":"server_error","message":"failed"}}"#),
                    "failed"
                ),
            ]
        ),
        StreamSample(
            "an error event of Responses", .openai, "/v1/responses", .events,
            [
                .error(
                    #"data: {"sequence_number":0,"type":"error","code":null,"message":"no","param":null}"# + "\n\n",
                    "no")
            ]
        ),
        StreamSample(
            "an error of TGI", .openai, "/generate_stream", .events,
            [.error(#"data:{"error":"Model is overloaded","error_type":"overloaded"}"# + "\n\n", "Model is overloaded")]
        ),
        StreamSample(
            "an error of MLServer", .kserve, "/v2/models/m/generate_stream", .events,
            [
                .frame(#"data: {"outputs":[]}"# + "\n\n"),
                .error(#"data: {"error":"ValueError: bad"}"# + "\n\n", "ValueError: bad"),
            ]
        ),
    ]

    private static func chunk(_ delta: String) -> String {
        #"data: {"choices":[{"finish_reason":null,"index":0,"delta":\#(delta)}],"created":1764331234,"id":"chatcmpl-1","#
            + #""model":"m","object":"chat.completion.chunk"}"# + "\n\n"
    }

    private static func line(_ members: String) -> String {
        #"{"model":"m","created_at":"2026-11-28T10:00:00.1Z",\#(members)}"# + "\n"
    }

    private static func event(_ type: String, _ members: String) -> String {
        #"event: \#(type)"# + "\n" + #"data: {"type":"\#(type)",\#(members)}"# + "\n\n"
    }
}
