import InferqCore
import Testing

/// The frame of ours that tells the client of a broken stream.
struct StreamErrorFrameTests {
    @Test(
        arguments: [
            (
                .openai, "/v1/chat/completions?a=b", .events,
                #"data: {"error":{"message":"a\nb","type":"server_error","param":null,"code":"bad_response"}}"#
                    + "\n\ndata: [DONE]\n\n"
            ),
            (
                .ollama, "/v1/completions", .events,
                #"data: {"error":{"message":"a\nb","type":"server_error","param":null,"code":"bad_response"}}"#
                    + "\n\ndata: [DONE]\n\n"
            ),
            (
                .openai, "/v1/responses", .events,
                "event: error\n" + #"data: {"type":"error","code":"bad_response","message":"a\nb","param":null}"#
                    + "\n\n"
            ),
            (
                .openai, "/v1/messages", .events,
                "event: error\n" + #"data: {"type":"error","error":{"type":"api_error","message":"a\nb"}}"# + "\n\n"
            ),
            (.openai, "/generate_stream", .events, #"data: {"error":"a\nb"}"# + "\n\n"),
            (.kserve, "/v2/models/m/generate_stream", .events, #"data: {"error":"a\nb"}"# + "\n\n"),
            (.none, "/x", .events, nil),
            (.ollama, "/api/chat", .lines, #"{"error":"a\nb"}"# + "\n"),
            (.kserve, "/v2/models/m/infer_stream", .lines, #"{"error":"a\nb"}"# + "\n"),
            (.openai, "/v1/chat/completions", .none, nil), (.none, "/", .none, nil),
        ] as [(Dialect, String, StreamFraming, String?)]
    )
    func theFrameOfOursIsOfTheDialect(
        _ dialect: Dialect,
        _ path: String,
        _ framing: StreamFraming,
        _ expected: String?
    ) {
        let bytes = StreamErrorFrame.bytes(
            dialect, path: path, framing: framing, code: "bad_response", message: "a\nb"
        )
        #expect(bytes.map { String(decoding: $0, as: UTF8.self) } == expected)
        guard let bytes else { return }
        let mark = EndMark(dialect, path: path, framing: framing)
        var scanner = StreamScanner(framing: framing, mark: mark, findsErrors: true)
        scanner.read(bytes)
        #expect(scanner.error == "a\nb" && scanner.beganWithError && scanner.frameEnd == bytes.count)
    }
}
