/// The type of an event in a response's stream, as far as it decides something.
struct ResponseEventType: Sendable, Equatable {
    /// A list within an output item that events count in.
    enum List {
        case content, summary

        /// The member of an event that says which part it is about.
        var counter: String { self == .content ? "content_index" : "summary_index" }
    }

    private static let prefix = "response."

    let name: String
    /// Without its prefix.
    private let rest: Substring

    /// Nil for one that is not a response's.
    init?(_ name: String) {
        guard name.hasPrefix(Self.prefix) else { return nil }
        self.name = name
        rest = name.dropFirst(Self.prefix.count)
    }

    /// The gateway says these itself.
    var isBeginning: Bool { rest == "created" || rest == "queued" }
    var isInProgress: Bool { rest == "in_progress" }
    var isEnd: Bool { ["completed", "failed", "incomplete", "cancelled"].contains(rest) }
    /// Of a response whose event this is.
    var status: String { String(rest) }
    var isItemAdded: Bool { rest == "output_item.added" }
    var isItemDone: Bool { rest == "output_item.done" }
    var isPartAdded: Bool { rest.hasSuffix("_part.added") }
    var isArguments: Bool { rest.hasPrefix("function_call_arguments.") }
    var isRefusal: Bool { rest.hasPrefix("refusal.") }
    /// Of text, whose events have `logprobs`.
    var isText: Bool { rest == "output_text.delta" || rest == "output_text.done" }

    var list: List? {
        let kind = rest.prefix { $0 != "." }
        switch kind {
        case "content_part", "output_text", "refusal", "reasoning_text": return .content
        case "reasoning_summary_part", "reasoning_summary_text": return .summary
        default: return nil
        }
    }

    /// What a part is that was not added before an event told of it.
    var partType: String {
        if isRefusal { return "refusal" }
        if rest.hasPrefix("reasoning_text.") { return "reasoning_text" }
        return list == .summary ? "summary_text" : "output_text"
    }
}
