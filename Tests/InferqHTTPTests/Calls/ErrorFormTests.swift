import HTTPTypes
import InferqCore
import NIOCore
import Testing

@testable import InferqHTTP

struct ErrorFormTests {
    @Test(arguments: [
        ("/v1/chat/completions", ErrorForm.openai), ("/v1/completions", .openai), ("/v1/embeddings", .openai),
        ("/v1/responses", .openai),
        ("/v1/responses/resp_1/cancel", .openai), ("/v1/files", .openai), ("/v1/batches/x", .openai),
        ("/v1/audio/speech", .openai),
        ("/v1/thing", .openai), ("/v1/messages", .anthropic), ("/v1/messages/count_tokens", .anthropic),
        ("/v1/messagesx", .openai),
        ("/v1/inference", .problem), ("/v1/inference/x/output", .problem), ("/v1/async/inference", .problem),
        ("/v1/events", .problem),
        ("/v1/async/notify/x", .problem), ("/v1/notifications", .problem), ("/v1/models", .problem),
        ("/v1/models/a/b", .problem),
        ("/v1/status", .problem), ("/v1/workers", .problem), ("/v1/store/backup", .problem), ("/v1", .problem),
        ("/", .problem),
        ("/livez", .problem), ("/metrics", .problem), ("/api/chat", .text), ("/api/pull", .text), ("/api/tags", .text),
        ("/v2", .text),
        ("/v2/health/live", .text), ("/v2/models/m/infer", .text), ("/v2/models", .problem), ("/v2/models/m", .problem),
        ("/v2/inference", .problem),
        ("/v2/async/notify/x", .problem), ("", .problem), ("*", .problem), ("/predict", .problem),
        ("/upstream/m", .problem),
        ("/upstream/m/", .problem), ("/upstream/m/v1/chat/completions", .openai),
        ("/upstream/m/v1/messages", .anthropic),
        ("/upstream/m/api/chat", .text), ("/upstream/m/v2/models/m/infer", .text), ("/upstream/m/predict", .problem),
        ("/upstream", .problem),
    ])
    func aPathHasAForm(_ path: String, _ form: ErrorForm) {
        #expect(ErrorForm.of(path: path) == form)
    }

    @Test
    func theGatewaysOwnPathsHaveProblemDocuments() async throws {
        try await TestGateway.with { (gateway) async throws in
            let own = Set(gateway.gateway.metrics.routes.map(\.path))
            #expect(own.count > 20)
            for path in own where ErrorForm.of(path: path) != .problem {
                // What clients of OpenAI ask the gateway itself.
                #expect(["/v1/responses", "/v1/files", "/v1/batches"].contains { path.hasPrefix($0) }, "\(path)")
            }
        }
    }

    @Test(arguments: [
        (Dialect.none, "/v1/chat/completions", ErrorForm.problem), (.none, "/api/chat", .problem),
        (.openai, "/v1/chat/completions", .openai),
        (.openai, "/tokenize", .openai), (.openai, "/v1/messages", .anthropic),
        (.openai, "/v1/messages/batches", .anthropic),
        (.ollama, "/api/chat", .text), (.ollama, "/v1/chat/completions", .openai),
        (.ollama, "/v1/messages", .anthropic), (.ollama, "/", .text),
        (.kserve, "/v2/models/m/infer", .text), (.kserve, "/v1/x", .text),
    ])
    func aMountHasTheFormOfItsModel(_ dialect: Dialect, _ path: String, _ form: ErrorForm) {
        #expect(ErrorForm(dialect, path: path) == form)
    }

    private func body(_ response: Response) -> String {
        guard case .bytes(let bytes) = response.body else { return "" }
        return String(buffer: bytes)
    }

    @Test(arguments: [
        (ErrorForm.text, #"{"error":"There is no model \"x\" at this path; known models: a, b."}"#),
        (
            .openai,
            """
            {"error":{"message":"There is no model \\"x\\" at this path; known models: a, b.","type":"invalid_request_error",\
            "param":null,"code":"model_not_found"}}
            """
        ),
        (
            .anthropic,
            """
            {"type":"error","error":{"type":"not_found_error","message":"There is no model \\"x\\" at this path; known models: \
            a, b."}}
            """
        ),
    ])
    func aFormIsWritten(_ form: ErrorForm, _ text: String) {
        let response = form.response(for: .modelNotFound("x", known: ["a", "b"]), instance: "/v1/chat/completions")
        #expect(body(response) == text)
        #expect(response.status.code == 404)
        #expect(response.headers[.contentType] == "application/json")
        #expect(response.length == text.utf8.count)
        #expect(response.headers[.cacheControl] == "no-store")
    }

    @Test
    func aProblemStaysOne() {
        let response = ErrorForm.problem.response(for: .noSuchModel("x"), instance: "/upstream/x/y")
        #expect(response.headers[.contentType] == "application/problem+json")
        #expect(body(response) == body(APIError.noSuchModel("x").response(instance: "/upstream/x/y")))
    }

    @Test(arguments: [ErrorForm.problem, .openai, .anthropic, .text])
    func whatSurroundsAnErrorStays(_ form: ErrorForm) {
        let closing = form.response(for: .stopping, instance: nil)
        #expect(closing.status.code == 503)
        #expect(closing.isLast)
        #expect(closing.headers[.retryAfter] == "1")
        let refused = form.response(for: .methodNotAllowed("PUT", allow: "GET, HEAD"), instance: nil)
        #expect(refused.headers[.allow] == "GET, HEAD")
        #expect(refused.headers[.xShouldRetry] == nil)
    }

    @Test(arguments: [(1, "1"), (119, "119"), (120, "120"), (121, "120"), (3600, "120")])
    func nobodyIsSentAwayForLong(_ seconds: Int, _ told: String) {
        for form in [ErrorForm.problem, .openai, .anthropic, .text] {
            let response = form.response(for: .queueFull("m", limit: 1, retryAfter: seconds), instance: nil)
            #expect(response.headers[.retryAfter] == told)
        }
        let error = APIError.refused(
            .queueFull(limit: 1, retryAfter: seconds), model: "m", longestPause: ErrorForm.longestRetryAfter)
        #expect(error.headers[.retryAfter] == told)
        #expect(error.detail.hasSuffix("try again in \(told) s."))
    }

    @Test(arguments: [
        (APIError.dotSegments, "invalid_request_error", "invalid_request_error"),
        (.closedCall, "invalid_request_error", "permission_error"),
        (.modelNotFound("x", known: []), "invalid_request_error", "not_found_error"),
        (.bodyTooLarge(limit: 1, setting: "max_body"), "invalid_request_error", "request_too_large"),
        (.ambiguousModel("x", among: []), "invalid_request_error", "invalid_request_error"),
        (.queueFull("m", limit: 1, retryAfter: 1), "rate_limit_error", "rate_limit_error"),
        (.unforeseen, "server_error", "api_error"), (.upgradeUnsupported, "server_error", "api_error"),
        (.connectFailed("m"), "server_error", "api_error"), (.stopping, "server_error", "overloaded_error"),
        (.answerTimeout("m", limit: .seconds(30)), "server_error", "timeout_error"),
        (.diskFull, "server_error", "api_error"),
    ])
    func aStatusHasAType(_ error: APIError, _ openai: String, _ anthropic: String) {
        #expect(body(ErrorForm.openai.response(for: error, instance: nil)).contains("\"type\":\"\(openai)\""))
        #expect(
            body(ErrorForm.anthropic.response(for: error, instance: nil)).contains(
                "\"error\":{\"type\":\"\(anthropic)\""))
    }

    @Test
    func aSentenceIsOneLineOfJSON() {
        let text = body(ErrorForm.text.response(for: .modelNotFound("\"\\\n\u{1}\u{e9}", known: []), instance: nil))
        #expect((try? JSONScanner.validate(Array(text.utf8))) == .object)
    }
}
