import HTTPTypes
import InferqCore
import Testing

@testable import InferqHTTP

/// Which requests are calls, of whom, and how.
struct CallTableTests {
    /// What comes of a request, in one word and the candidates' names; the code of an error; "-" for no call.
    private static func outcome(_ table: CallTable, _ line: String) -> String {
        let words = line.split(separator: " ", maxSplits: 1).map(String.init)
        let parts = words[1].split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard let method = HTTPRequest.Method(rawValue: words[0]) else { return "no method" }
        do throws(APIError) {
            guard let found = try table.find(method, parts[0], query: parts.count > 1 ? parts[1] : nil) else {
                return "-"
            }
            let kind = found.kind == .job ? "job" : "direct"
            return "\(kind) \(found.candidates.map(\.name).joined(separator: ",")) \(found.target)"
        } catch {
            return "\(error.status.code) \(error.code.rawValue)"
        }
    }

    private func outcome(_ line: String) -> String { Self.outcome(CallTable(SampleModels.all), line) }

    // MARK: The mount

    @Test(arguments: [
        ("POST /upstream/plain/predict", "job plain /predict"), ("POST /upstream/plain/", "job plain /"),
        ("POST /upstream/plain", "job plain /"), ("POST /upstream/plain?a=b", "job plain /?a=b"),
        ("POST /upstream/plain/?", "job plain /?"), ("POST /upstream/plain/x?y=%2F..&z", "job plain /x?y=%2F..&z"),
        ("POST /upstream/plain/x?a?b", "job plain /x?a?b"), ("POST /upstream/plain//x//", "job plain //x//"),
        ("POST /upstream/plain/%zz", "job plain /%zz"), ("POST /upstream/plain/a%2Fb", "job plain /a%2Fb"),
        ("POST /upstream/plain/a|b", "job plain /a|b"), ("POST /upstream/plain/\u{e9}", "job plain /\u{e9}"),
        ("POST /upstream/plain/\u{301}x", "job plain /\u{301}x"),
        ("POST /upstream/%70lain/x", "job plain /x"), ("POST /upstream/plain/x#y", "job plain /x"),
        ("POST /upstream/plain/v1/chat/completions", "job plain /v1/chat/completions"),
        ("POST /upstream/llama/v1/chat/completions", "job llama /v1/chat/completions"),
        ("POST /upstream/llama/tokenize", "job llama /tokenize"),
        ("POST /upstream/ollama/api/chat", "job ollama /api/chat"),
        ("POST /upstream/ollama/api/show", "job ollama /api/show"),
        ("POST /upstream/ollama/api/pulls", "job ollama /api/pulls"),
        ("POST /upstream/triton/v2/models/other/infer", "job triton /v2/models/other/infer"),
        ("GET /upstream/plain/health?x", "direct plain /health?x"),
        ("HEAD /upstream/llama/v1/models", "direct llama /v1/models"),
        ("GET /upstream/ollama/", "direct ollama /"), ("GET /upstream/ollama/api/tags", "direct ollama /api/tags"),
        ("GET /upstream/plain/v1/thing/slow", "job plain /v1/thing/slow"),
        ("HEAD /upstream/plain/v1/thing/slow", "direct plain /v1/thing/slow"),
        ("PUT /upstream/plain/v1/thing/put", "job plain /v1/thing/put"),
        ("PATCH /upstream/plain/predict", "job plain /predict"),
        ("DELETE /upstream/plain/v1/thing/7", "direct plain /v1/thing/7"),
        ("DELETE /upstream/plain/v1/thing/a/b", "direct plain /v1/thing/a/b"),
        ("POST /upstream/plain/v1/thing/ask", "direct plain /v1/thing/ask"),
        ("PUT /upstream/plain/both", "job plain /both"),
    ])
    func aMountLeadsToItsModel(_ line: String, _ outcome: String) {
        #expect(self.outcome(line) == outcome)
    }

    @Test(arguments: [
        ("POST /upstream", "-"), ("POST /upstream/", "-"), ("POST /upstream//x", "-"), ("POST //upstream/plain/x", "-"),
        ("POST /Upstream/plain/x", "-"), ("POST /upstreams/plain/x", "-"),
        ("POST /upstream/nobody/x", "404 no_such_model"),
        ("GET /upstream/nobody", "404 no_such_model"), ("POST /upstream/qwen3-8b/x", "404 no_such_model"),
        ("POST /upstream/Plain/x", "404 no_such_model"), ("PUT /upstream/plain/x", "405 method_not_allowed"),
        ("PATCH /upstream/plain/x", "405 method_not_allowed"),
        ("DELETE /upstream/plain/predict", "405 method_not_allowed"),
        ("DELETE /upstream/plain/v1/thing", "405 method_not_allowed"),
        ("DELETE /upstream/llama/v1/thing/7", "405 method_not_allowed"),
        ("DELETE /upstream/plain/v1/%74hing/7", "405 method_not_allowed"),
        ("TRACE /upstream/plain/x", "405 method_not_allowed"),
        ("PROPFIND /upstream/plain/x", "405 method_not_allowed"), ("get /upstream/plain/x", "405 method_not_allowed"),
        ("CONNECT /upstream/plain/x", "501 upgrade_unsupported"),
        ("CONNECT /v1/chat/completions", "501 upgrade_unsupported"),
        ("CONNECT /nothing", "-"),
    ])
    func otherMountsAreRefused(_ line: String, _ outcome: String) {
        #expect(self.outcome(line) == outcome)
    }

    @Test(arguments: [
        "/..", "/../x", "/.", "/a/../b", "/a/./b", "/%2e%2e/x", "/%2E%2E", "/a/%2e%2E/b", "/.%2e/b", "/a%2f..%2fb",
        "/a%2F%2e%2e%2Fb",
        "/a%5c..%5cb", "/a\\..\\b", "/%252e%252e/x", "/..;a/x", "/a/..?b", "/a/..#b",
    ])
    func dotSegmentsAreRefusedOnMounts(_ path: String) {
        for method in ["GET", "POST", "PUT", "DELETE", "HEAD"] {
            #expect(outcome("\(method) /upstream/plain\(path)") == "400 invalid_request")
            #expect(outcome("\(method) /upstream/nobody\(path)") == "400 invalid_request")
        }
    }

    @Test(arguments: [
        "/upstream/../x", "/upstream/%2e%2e/x", "/upstream/./plain/x", "/upstream/.", "/upstream/..%2fx/y",
    ])
    func noModelIsADotSegment(_ path: String) {
        #expect(outcome("POST \(path)") == "400 invalid_request")
    }

    @Test
    func dotsOfAQueryAreNoSegments() {
        #expect(outcome("POST /upstream/plain/x?../..") == "job plain /x?../..")
        #expect(outcome("POST /v1/chat/completions?a=/../") == "job llama,ollama /v1/chat/completions?a=/../")
    }

    // MARK: Paths of the dialects

    @Test(arguments: [
        ("POST /v1/chat/completions", "job llama,ollama /v1/chat/completions"),
        ("POST /v1/chat/completions?x", "job llama,ollama /v1/chat/completions?x"),
        ("POST /v1/completions", "job llama,ollama /v1/completions"),
        ("POST /v1/embeddings", "job llama,ollama /v1/embeddings"),
        ("POST /v1/responses", "job llama,ollama /v1/responses"),
        ("POST /v1/messages", "job llama,ollama /v1/messages"),
        ("POST /v1/rerank", "job llama /v1/rerank"), ("POST /v1/score", "job llama /v1/score"),
        ("POST /v1/moderations", "job llama /v1/moderations"), ("POST /v1/audio/speech", "job llama /v1/audio/speech"),
        ("POST /v1/audio/a/b", "job llama /v1/audio/a/b"),
        ("POST /v1/images/generations", "job llama /v1/images/generations"),
        ("GET /v1/audio/voices", "direct llama /v1/audio/voices"), ("POST /v1/audio", "-"), ("POST /v1/images", "-"),
        ("POST /api/chat", "job ollama /api/chat"), ("POST /api/generate", "job ollama /api/generate"),
        ("POST /api/embed", "job ollama /api/embed"), ("POST /api/embeddings", "job ollama /api/embeddings"),
        ("GET /api/tags", "direct ollama /api/tags"), ("HEAD /api/tags", "direct ollama /api/tags"),
        ("GET /api/ps", "direct ollama /api/ps"),
        ("GET /api/version", "direct ollama /api/version"), ("POST /api/show", "direct ollama /api/show"),
        ("POST /api/tags", "405 method_not_allowed"), ("DELETE /api/show", "405 method_not_allowed"),
        ("PUT /v1/chat/completions", "405 method_not_allowed"), ("DELETE /api/chat", "405 method_not_allowed"),
        ("GET /v2", "direct triton /v2"), ("GET /v2/health/ready", "direct triton /v2/health/ready"),
        ("POST /v2", "405 method_not_allowed"),
        ("GET /v2/models/triton", "direct triton /v2/models/triton"),
        ("GET /v2/models/resnet/ready", "direct triton /v2/models/resnet/ready"),
        ("POST /v2/models/triton/infer", "job triton /v2/models/triton/infer"),
        ("POST /v2/models/resnet/versions/3/infer?x=1", "job triton /v2/models/resnet/versions/3/infer?x=1"),
        ("POST /v2/models/%72esnet/generate_stream", "job triton /v2/models/%72esnet/generate_stream"),
        ("POST /v2/models/resnet/ready", "405 method_not_allowed"),
        ("POST /v2/models/nobody/infer", "404 model_not_found"),
        ("GET /v2/models/nobody", "404 model_not_found"), ("POST /v2/models/llama/infer", "404 model_not_found"),
        ("POST /v2/models/resnet/load", "-"), ("GET /v2/models", "-"), ("POST /v2/repository/index", "-"),
        ("POST /v1/nothing", "-"), ("POST /v1/chat", "-"), ("POST /v1/chat/completions/", "-"),
        ("POST //v1/chat/completions", "-"),
        ("POST /v1//chat/completions", "-"), ("POST /V1/chat/completions", "-"), ("POST /v1/chat%2Fcompletions", "-"),
        ("POST /chat/completions", "-"), ("POST /api/nothing", "-"), ("POST /", "-"), ("POST *", "-"),
        ("GET /livez", "-"), ("POST /v1", "-"),
    ])
    func aDialectHasPathsOfTheRoot(_ line: String, _ outcome: String) {
        #expect(self.outcome(line) == outcome)
    }

    @Test(arguments: [
        "POST /v1/chat/completions", "POST /v1/audio/speech", "POST /api/chat", "GET /api/tags", "POST /api/pull",
        "GET /v2",
        "POST /v2/models/m/infer", "GET /v2/health/live", "POST /v1/messages", "POST /v1/../x", "GET /api/..",
    ])
    func withoutAModelOfTheDialectThereIsNothing(_ line: String) {
        #expect(Self.outcome(CallTable([]), line) == "-")
        #expect(Self.outcome(CallTable([SampleModels.model("m")]), line) == "-")
    }

    @Test(arguments: [
        "/v1/../x", "/v1/chat/../completions", "/v1/./chat/completions", "/v1/%2e%2e/x", "/v1/audio/../../api/pull",
        "/v1/audio/%2e%2e/x",
        "/v1/audio/x/..", "/v1/audio/..%2f..%2fapi", "/v1/audio/.", "/api/../x", "/api/%2e/chat", "/v2/models/../x",
        "/v2/models/%2e%2e/infer",
        "/v2/models/resnet/../infer", "/v2/../v1/chat/completions", "/predict/..", "/v1/thing/..", "/v1/thing/a\\..\\b",
    ])
    func dotSegmentsAreRefusedAtTheRoot(_ path: String) {
        for method in ["GET", "HEAD", "POST", "DELETE"] {
            #expect(outcome("\(method) \(path)") == "400 invalid_request")
        }
    }

    @Test
    func dotsElsewhereAreNotOfCalls() {
        #expect(outcome("GET /../etc/passwd") == "-")
        #expect(outcome("GET /livez/..") == "-")
    }

    // MARK: Administration

    @Test(arguments: [
        "/api/pull", "/api/delete", "/api/create", "/api/copy", "/api/push", "/api/%70ull", "/api/%70%75%6C%6c",
        "/api%2Fpull", "/api/pull/",
        "/api//pull", "/API/PULL", "/api/%2570ull", "/api/blobs/sha256:0", "/x/api/pull",
    ])
    func administrationIsClosedEverywhere(_ path: String) {
        for method in ["GET", "HEAD", "POST", "DELETE", "PUT"] {
            #expect(outcome("\(method) /upstream/ollama\(path)") == "403 closed_call")
            #expect(outcome("\(method) \(path)") == "403 closed_call")
        }
        #expect(outcome("POST /upstream/plain\(path)") == "job plain \(path)")
    }

    @Test
    func noSettingOpensAdministration() {
        let table = CallTable([
            SampleModels.model(
                "o", .ollama, paths: ["/api/pull", "/api/*"], direct: ["DELETE /api/delete", "POST /api/pull"],
                queued: ["PUT /api/copy"])
        ])
        for line in [
            "POST /api/pull", "DELETE /api/delete", "PUT /api/copy", "POST /api/push", "POST /upstream/o/api/pull",
        ] {
            #expect(Self.outcome(table, line) == "403 closed_call")
        }
        #expect(Self.outcome(table, "POST /api/other") == "job o /api/other")
        // The root may be such that a call's path completes it.
        let deep = CallTable([SampleModels.model("o", .ollama, url: "http://o.example/api")])
        #expect(Self.outcome(deep, "POST /upstream/o/pull") == "403 closed_call")
        #expect(Self.outcome(deep, "POST /upstream/o/chat") == "job o /chat")
    }

    // MARK: Configured paths

    @Test(arguments: [
        ("POST /predict", "job plain /predict"), ("GET /predict", "direct plain /predict"),
        ("PATCH /predict", "job plain /predict"),
        ("PUT /predict", "405 method_not_allowed"), ("POST /predict/", "-"), ("POST /predict/x", "-"),
        ("POST /v1/thing/a", "job plain /v1/thing/a"),
        ("POST /v1/thing/a/b?c", "job plain /v1/thing/a/b?c"), ("POST /v1/thing/", "job plain /v1/thing/"),
        ("POST /v1/thing", "-"),
        ("POST /v1/things", "-"), ("DELETE /v1/thing/a", "direct plain /v1/thing/a"),
        ("PUT /v1/thing/put", "job plain /v1/thing/put"),
        ("PUT /v1/thing/other", "405 method_not_allowed"), ("PUT /both", "-"),
        ("POST /v1/thing/ask", "direct plain /v1/thing/ask"),
        ("GET /v1/thing/slow", "job plain /v1/thing/slow"),
        ("POST /v1/audio/special", "job llama,plain /v1/audio/special"),
        ("POST /v1/audio/speech", "job llama /v1/audio/speech"),
    ])
    func aModelHasPathsOfItsOwn(_ line: String, _ outcome: String) {
        #expect(self.outcome(line) == outcome)
    }

    @Test
    func whoeverQueuesAMethodIsMeant() {
        let table = CallTable([
            SampleModels.model("a", paths: ["/x"], direct: ["DELETE /x", "POST /x"]),
            SampleModels.model("b", paths: ["/x"], queued: ["DELETE /x"]),
            SampleModels.model("c", paths: ["/x"]),
        ])
        #expect(Self.outcome(table, "DELETE /x") == "job b /x")
        #expect(Self.outcome(table, "POST /x") == "job a,b,c /x")
        #expect(Self.outcome(table, "GET /x") == "direct a,b,c /x")
        #expect(Self.outcome(table, "PUT /x") == "405 method_not_allowed")
    }

    @Test
    func aConfiguredPathMayLieAmongThoseOfADialect() {
        let table = CallTable([
            SampleModels.model("t", .kserve), SampleModels.model("p", paths: ["/v2/models/*", "/v1/chat/completions"]),
        ])
        #expect(Self.outcome(table, "POST /v2/models/t/infer") == "job t /v2/models/t/infer")
        #expect(Self.outcome(table, "POST /v2/models/p/infer") == "job p /v2/models/p/infer")
        #expect(Self.outcome(table, "POST /v2/models/p/other") == "job p /v2/models/p/other")
        #expect(Self.outcome(table, "POST /v1/chat/completions") == "job p /v1/chat/completions")
    }

    // MARK: What follows from it

    @Test(arguments: [
        ("/upstream/plain/x", "GET, HEAD, OPTIONS, POST"),
        ("/upstream/plain/v1/thing/7", "DELETE, GET, HEAD, OPTIONS, POST"),
        ("/upstream/plain/predict", "GET, HEAD, OPTIONS, PATCH, POST"),
        ("/upstream/plain/both", "GET, HEAD, OPTIONS, POST, PUT"),
        ("/v1/chat/completions", "GET, HEAD, OPTIONS, POST"), ("/api/tags", "GET, HEAD, OPTIONS"),
        ("/api/show", "GET, HEAD, OPTIONS, POST"),
        ("/v2/models/resnet", "GET, HEAD, OPTIONS"), ("/v2/models/resnet/infer", "GET, HEAD, OPTIONS, POST"),
        ("/predict", "GET, HEAD, OPTIONS, PATCH, POST"),
    ])
    func aPathSaysWhatItOffers(_ path: String, _ methods: String) throws {
        let table = CallTable(SampleModels.all)
        #expect(table.allow(path) == methods)
        do {
            _ = try table.find(HTTPRequest.Method("TRACE") ?? .get, path, query: nil)
            Issue.record("it is refused")
        } catch {
            #expect(error.headers[.allow] == methods)
        }
    }

    @Test(arguments: [
        "/", "/livez", "/v1/nothing", "/upstream/nobody/x", "/upstream", "/v2/models/nobody/infer", "/api/x",
    ])
    func otherPathsOfferNothing(_ path: String) {
        #expect(CallTable(SampleModels.all).allow(path) == nil)
    }

    @Test(arguments: [
        ("POST /upstream/plain/x", "/upstream/{model}"), ("GET /upstream/llama/v1/x", "/upstream/{model}"),
        ("POST /v1/chat/completions", "/v1/chat/completions"), ("POST /v1/audio/speech", "/v1/audio/*"),
        ("POST /api/chat", "/api/chat"),
        ("GET /api/tags", "/api/tags"), ("POST /v2/models/resnet/versions/2/infer", "/v2/models/{model}/infer"),
        ("GET /v2/health/live", "/v2/health/*"), ("POST /predict", "{paths}"), ("POST /v1/thing/a", "{paths}"),
    ])
    func aCallIsCountedByItsRoute(_ line: String, _ route: String) throws {
        let words = line.split(separator: " ").map(String.init)
        let method = try #require(HTTPRequest.Method(rawValue: words[0]))
        let found = try #require(try CallTable(SampleModels.all).find(method, words[1], query: nil))
        #expect(found.route == route)
        #expect(CallTable.routes.contains(route))
        #expect(Set(CallTable.routes).count == CallTable.routes.count)
    }

    @Test(arguments: [
        ("/upstream/plain/v1/chat/completions", ErrorForm.problem), ("/upstream/llama/x", .openai),
        ("/upstream/llama/v1/messages", .anthropic),
        ("/upstream/ollama/api/chat", .text), ("/upstream/ollama/v1/chat/completions", .openai),
        ("/upstream/triton/x", .text),
        ("/upstream/nobody/v1/chat/completions", .problem), ("/v1/chat/completions", .openai),
        ("/v1/messages", .anthropic),
        ("/v2/models/nobody/infer", .text), ("/v2/models/resnet/infer", .text), ("/api/chat", .text),
        ("/api/pull", .text), ("/predict", .problem),
        ("/v1/thing/a", .openai), ("/livez", .problem), ("/v1/inference", .problem),
    ])
    func aPathHasAFormOfErrors(_ path: String, _ form: ErrorForm) {
        let table = CallTable(SampleModels.all)
        #expect(table.form(of: path) == form)
        if let found = try? table.find(.post, path, query: nil) { #expect(found.form == form) }
    }

    @Test
    func aPathOfAnOpenAIModelHasItsForm() {
        #expect(CallTable([SampleModels.model("m", .openai, paths: ["/rerank"])]).form(of: "/rerank") == .openai)
        #expect(CallTable([SampleModels.model("m", .ollama, paths: ["/rerank"])]).form(of: "/rerank") == .text)
    }
}
