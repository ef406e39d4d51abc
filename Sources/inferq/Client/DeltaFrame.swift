import InferqCore

/// A frame of a stream in one of the dialects of model servers, which its members tell.
struct DeltaFrame {
    /// What a frame adds to the text.
    struct Delta: Equatable {
        enum Kind {
            case answer
            /// What a model thinks before it answers.
            case reasoning
        }

        let kind: Kind
        let text: String
    }

    private enum Dialect {
        /// Chat and completions of OpenAI.
        case choices
        /// Responses of OpenAI.
        case responses(type: String)
        /// Messages of Anthropic.
        case messages(type: String)
        /// Text Generation Inference.
        case token
        /// llama.cpp's own.
        case content
        case ollama
    }

    private static let messageTypes: Set = [
        "message_start", "message_delta", "message_stop", "content_block_start", "content_block_delta",
        "content_block_stop", "ping",
    ]

    private let json: [UInt8]
    private let whole: Range<Int>
    private let dialect: Dialect

    /// Nil if the text is no frame of a dialect that is known.
    init?(_ json: [UInt8]) {
        let names = ["choices", "type", "token", "content", "stop", "done", "message", "response"]
        // Whatever is wrong with the text, it is not JSON, and so no frame.
        guard let members = try? JSONScanner.members(of: json, named: names) else { return nil }
        self.json = json
        whole = 0..<json.count
        func has(_ name: String, _ kind: JSONKind) -> Bool { members.last { $0.name == name }?.kind == kind }
        let type = members.last { $0.name == "type" }.flatMap { JSONScanner.string(in: json, $0.value) }
        if has("choices", .array) {
            dialect = .choices
        } else if let type, type.hasPrefix("response.") {
            dialect = .responses(type: type)
        } else if let type, Self.messageTypes.contains(type) {
            dialect = .messages(type: type)
        } else if has("token", .object) {
            dialect = .token
        } else if has("content", .string), has("stop", .bool) {
            dialect = .content
        } else if has("done", .bool), has("message", .object) || has("response", .string) {
            dialect = .ollama
        } else {
            return nil
        }
    }

    /// In the order in which they are read.
    var deltas: [Delta] {
        let found: [(Delta.Kind, String?)] =
            switch dialect {
            case .choices: choice
            case .responses("response.output_text.delta"): [(.answer, string("delta"))]
            case .responses("response.reasoning_text.delta"), .responses("response.reasoning_summary_text.delta"):
                [(.reasoning, string("delta"))]
            case .messages("content_block_delta"):
                [(.reasoning, string("delta", "thinking")), (.answer, string("delta", "text"))]
            case .responses, .messages: []
            // Those that mark the end and the like are no text.
            case .token: value("token", "special").map(isTrue) == true ? [] : [(.answer, string("token", "text"))]
            case .content: [(.answer, string("content"))]
            case .ollama:
                [
                    (.reasoning, string("message", "thinking") ?? string("thinking")),
                    (.answer, string("message", "content") ?? string("response")),
                ]
            }
        return found.compactMap { kind, text in
            text.flatMap { $0.isEmpty ? nil : Delta(kind: kind, text: $0) }
        }
    }

    /// Of several answers to one question the first one.
    private var choice: [(Delta.Kind, String?)] {
        guard let choices = value("choices"), let first = JSONScanner.elements(of: json, in: choices).first else {
            return []
        }
        if let index = value("index", in: first), JSONScanner.integer(in: json, index) ?? 0 != 0 { return [] }
        let delta = value("delta", in: first)
        func part(_ name: String) -> String? {
            delta.flatMap { value(name, in: $0) }.flatMap { JSONScanner.string(in: json, $0) }
        }
        let text = value("text", in: first).flatMap { JSONScanner.string(in: json, $0) }
        return [(.reasoning, part("reasoning_content") ?? part("reasoning")), (.answer, part("content") ?? text)]
    }

    private func isTrue(_ value: Range<Int>) -> Bool {
        json[value.lowerBound] == UInt8(ascii: "t")
    }

    private func string(_ path: String...) -> String? {
        value(path).flatMap { JSONScanner.string(in: json, $0) }
    }

    private func value(_ path: String...) -> Range<Int>? {
        value(path)
    }

    private func value(_ path: [String]) -> Range<Int>? {
        path.reduce(whole) { range, name in range.flatMap { value(name, in: $0) } }
    }

    /// Of members of the same name the last one counts.
    private func value(_ name: String, in object: Range<Int>) -> Range<Int>? {
        JSONScanner.members(of: json, in: object).last { $0.name == name }?.value
    }
}
