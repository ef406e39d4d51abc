/// What is known of a response in the background without its model server: the same for as long as its job is there.
package struct ResponseFacts: Sendable {
    /// `resp_` and the job's id in hexadecimal digits.
    package let id: String
    /// The members that every event and every answer shows of it.
    private let base: JSONObject

    /// Members of the request that a response repeats, each with what stands there if the request has none: those that
    /// `Response` of the OpenAI API always has.
    private static let repeated: [(name: String, absent: String)] = [
        ("instructions", "null"), ("max_output_tokens", "null"), ("max_tool_calls", "null"), ("metadata", "{}"),
        ("model", "\"\""), ("parallel_tool_calls", "true"), ("previous_response_id", "null"), ("prompt", "null"),
        ("reasoning", "null"), ("service_tier", "null"), ("temperature", "null"), ("text", "null"),
        ("tool_choice", "\"auto\""), ("tools", "[]"), ("top_logprobs", "null"), ("top_p", "null"),
        ("truncation", "null"), ("user", "null"),
    ]

    /// What `usage` of the API tells beside its sums.
    private static let tokenDetails = [
        ("input_tokens_details", ["cached_tokens", "cache_write_tokens"]),
        ("output_tokens_details", ["reasoning_tokens"]),
    ]

    /// - Parameters:
    ///   - createdAt: of the job.
    ///   - request: the body that the model server gets.
    ///   - previous: what the client has put into `previous_response_id`.
    package init(job: UUIDv7, createdAt: Timestamp, request: JSONObject, previous: String?) {
        id = Self.ids.text(of: job)
        var base = JSONObject()
        base.set("id", id)
        base["object"] = Array("\"response\"".utf8)
        base.set("created_at", Int(createdAt.milliseconds / 1000))
        base["status"] = Array("\"queued\"".utf8)
        base["background"] = Array("true".utf8)
        base["error"] = Array("null".utf8)
        base["incomplete_details"] = Array("null".utf8)
        base["output"] = Array("[]".utf8)
        for (name, absent) in Self.repeated { base[name] = request[name] ?? Array(absent.utf8) }
        if let previous { base.set("previous_response_id", previous) }
        base["usage"] = Array("null".utf8)
        self.base = base
    }

    /// The response without anything of its model server.
    func response(_ status: String, output: [JSONObject] = []) -> JSONObject {
        var response = base
        response.set("status", status)
        response.set("output", output)
        return response
    }

    /// A response as the model server has it, under our name and with all that it leaves out.
    ///
    /// - Parameter status: where the server gives none.
    func own(_ response: JSONObject, _ status: String) -> JSONObject {
        var response = response
        for name in ["id", "created_at", "background", "previous_response_id"] { response[name] = base[name] }
        if response["status"] == nil { response.set("status", status) }
        if var usage = response.object("usage") {
            for (name, counts) in Self.tokenDetails {
                var details = usage.object(name) ?? JSONObject()
                for count in counts { details.complete(count, with: Array("0".utf8)) }
                usage.set(name, details)
            }
            response.set("usage", usage)
        }
        response.complete(with: base)
        return response
    }

    // MARK: Names

    /// Where responses are asked for.
    package static let path = "/v1/responses"

    /// The members of a request that a response shows: no more of it need be read.
    package static let requestMembers = repeated.map(\.name)

    /// Of all responses in the background.
    package static let ids = HexID(prefix: "resp_")

    /// What the model server has named the response that it answered with, in a stream or whole; nil: it gave no name.
    package static func serversName(in answer: [UInt8]) -> String? {
        if let whole = JSONObject(answer) { return whole.text("id") }
        var parser = EventParser(limit: .max)
        let events = (try? parser.push(answer)) ?? []
        return events.lazy.compactMap { JSONObject(Array($0.data.utf8))?.object("response")?.text("id") }.first
    }
}
