import HTTPTypes
import InferqCore
import Testing

@testable import InferqHTTP

/// Of whom a call is, where the path leaves it open.
struct CallChoiceTests {
    /// The model that a POST with this name in its body is for, or the code of the error.
    private func chosen(_ models: [ModelSettings], _ line: String, _ name: String?) -> String {
        let words = line.split(separator: " ").map(String.init)
        guard let method = HTTPRequest.Method(rawValue: words[0]) else { return "no method" }
        do throws(APIError) {
            guard let found = try CallTable(models).find(method, words[1], query: nil) else { return "-" }
            return try found.model(named: name).name
        } catch {
            return "\(error.status.code) \(error.code.rawValue)"
        }
    }

    @Test(arguments: [
        ("/v1/chat/completions", "llama", "llama"), ("/v1/chat/completions", "qwen3-8b", "llama"),
        ("/v1/chat/completions", "Qwen/Qwen3-8B", "llama"), ("/v1/chat/completions", "llama3:latest", "ollama"),
        ("/v1/chat/completions", "nobody", "404 model_not_found"),
        ("/v1/chat/completions", "triton", "404 model_not_found"),
        ("/v1/chat/completions", nil, "422 ambiguous_model"), ("/v1/chat/completions", "", "422 ambiguous_model"),
        ("/v1/rerank", "llama", "llama"), ("/v1/rerank", nil, "llama"), ("/v1/rerank", "", "llama"),
        ("/v1/rerank", "nobody", "404 model_not_found"),
        ("/v1/rerank", "llama3", "404 model_not_found"), ("/api/chat", nil, "ollama"),
        ("/api/chat", "llama3", "ollama"),
        ("/api/chat", "llama", "404 model_not_found"), ("/predict", nil, "plain"), ("/predict", "plain", "plain"),
        ("/predict", "other", "404 model_not_found"), ("/upstream/plain/x", "other", "plain"),
        ("/upstream/llama/x", "ollama", "llama"),
        ("/v2/models/resnet/infer", "other", "triton"), ("/api/show", "llama3", "ollama"),
        ("/v1/audio/special", "plain", "plain"),
        ("/v1/audio/special", "qwen3-x", "llama"), ("/v1/audio/special", nil, "422 ambiguous_model"),
    ])
    func theBodyNamesTheModel(_ path: String, _ name: String?, _ outcome: String) {
        #expect(chosen(SampleModels.all, "POST \(path)", name) == outcome)
    }

    @Test
    func twoModelsOfANameAreTooMany() {
        let models = [
            SampleModels.model("a", .openai, names: ["x", "q*"]),
            SampleModels.model("b", .openai, names: ["x", "q1*"]),
            SampleModels.model("q12", .openai),
            SampleModels.model("k1", .kserve, names: ["x"]), SampleModels.model("k2", .kserve, names: ["x"]),
        ]
        #expect(chosen(models, "POST /v1/completions", "x") == "422 ambiguous_model")
        #expect(chosen(models, "POST /v1/completions", "q2") == "a")
        #expect(chosen(models, "POST /v1/completions", "q1") == "422 ambiguous_model")
        // A table's name is that of one model, whatever patterns others have.
        #expect(chosen(models, "POST /v1/completions", "q12") == "q12")
        #expect(chosen(models, "POST /v2/models/x/infer", nil) == "422 ambiguous_model")
        #expect(chosen(models, "POST /v2/models/k2/infer", nil) == "k2")
    }

    @Test
    func modelsOfOneServerAreOneToAskIt() {
        let server = "http://127.0.0.1:11434"
        let one = [SampleModels.model("a", .ollama, url: server), SampleModels.model("b", .ollama, url: server + "/")]
        #expect(chosen(one, "GET /api/tags", nil) == "a")
        #expect(chosen(one, "POST /api/show", "b") == "b")
        #expect(chosen(one, "POST /api/show", "nobody") == "404 model_not_found")
        #expect(chosen(one, "POST /api/chat", nil) == "422 ambiguous_model")
        let two = [
            SampleModels.model("a", .ollama, url: server),
            SampleModels.model("b", .ollama, url: "http://127.0.0.1:11435"),
        ]
        #expect(chosen(two, "GET /api/tags", nil) == "422 ambiguous_model")
    }

    @Test
    func anErrorNamesThoseThereAre() throws {
        let found = try #require(try CallTable(SampleModels.all).find(.post, "/v1/completions", query: nil))
        do {
            _ = try found.model(named: "x")
        } catch {
            #expect(
                error.detail == "There is no model \"x\" at this path; known models: llama, Qwen/Qwen3-8B, ollama.")
        }
        do {
            _ = try found.model(named: nil)
        } catch {
            #expect(error.detail == "The request names no model; name one of llama, ollama.")
        }
    }
}
