/// One line of the files that come of a batch.
package enum BatchResult: Sendable {
    /// The model server has answered.
    case answered(status: Int, request: UUIDv7, body: [UInt8])
    /// There is no answer.
    case unanswered(code: String, message: String)

    /// Compact JSON and a line feed.
    ///
    /// - Parameters:
    ///   - id: of the job, or any other that the line has for itself.
    package func line(_ id: UUIDv7, customID: String) -> [UInt8] {
        var writer = JSONWriter(capacity: 256)
        writer.beginObject()
        writer.name("id")
        writer.value(Self.ids.text(of: id))
        writer.name("custom_id")
        writer.value(customID)
        writer.name("response")
        switch self {
        case .answered(let status, let request, let body):
            writer.beginObject()
            writer.name("status_code")
            writer.value(status)
            writer.name("request_id")
            writer.value(request)
            writer.name("body")
            if (try? JSONScanner.validate(body)) != nil {
                writer.compact(body, body.indices)
            } else {
                writer.value(String(decoding: body, as: UTF8.self))
            }
            writer.endObject()
            writer.name("error")
            writer.null()
        case .unanswered(let code, let message):
            writer.null()
            writer.name("error")
            writer.beginObject()
            writer.name("code")
            writer.value(code)
            writer.name("message")
            writer.value(message)
            writer.endObject()
        }
        writer.endObject()
        return writer.bytes + [0x0A]
    }

    private static let ids = HexID(prefix: "batch_req_")
}

/// What the answers of a batch say that they took, added up.
package struct BatchUsage: Sendable, Equatable {
    private var input = 0
    private var cached = 0
    private var output = 0
    private var reasoning = 0
    private var total = 0
    private var isThere = false

    package init() {}

    /// Adds what an answer says, in the words of either API.
    package mutating func add(_ body: [UInt8]) {
        guard let usage = JSONObject(body)?.object("usage") else { return }
        isThere = true
        let input = usage.integer("input_tokens") ?? usage.integer("prompt_tokens") ?? 0
        let output = usage.integer("output_tokens") ?? usage.integer("completion_tokens") ?? 0
        self.input = Self.sum(self.input, input)
        self.output = Self.sum(self.output, output)
        total = Self.sum(total, usage.integer("total_tokens") ?? Self.sum(input, output))
        let ofInput = usage.object("input_tokens_details") ?? usage.object("prompt_tokens_details")
        let ofOutput = usage.object("output_tokens_details") ?? usage.object("completion_tokens_details")
        cached = Self.sum(cached, ofInput?.integer("cached_tokens") ?? 0)
        reasoning = Self.sum(reasoning, ofOutput?.integer("reasoning_tokens") ?? 0)
    }

    /// Numbers from outside: they saturate.
    private static func sum(_ one: Int, _ other: Int) -> Int {
        let (sum, overflow) = one.addingReportingOverflow(max(other, 0))
        return overflow ? .max : sum
    }

    /// `BatchUsage` of the API; empty: no answer has told of any.
    package var json: [UInt8] {
        guard isThere else { return [] }
        var writer = JSONWriter(capacity: 192)
        writer.beginObject()
        writer.name("input_tokens")
        writer.value(input)
        writer.name("input_tokens_details")
        writer.beginObject()
        writer.name("cached_tokens")
        writer.value(cached)
        writer.endObject()
        writer.name("output_tokens")
        writer.value(output)
        writer.name("output_tokens_details")
        writer.beginObject()
        writer.name("reasoning_tokens")
        writer.value(reasoning)
        writer.endObject()
        writer.name("total_tokens")
        writer.value(total)
        writer.endObject()
        return writer.bytes
    }
}
