import InferqCore
import Testing

@testable import InferqHTTP

struct ModelRootTests {
    private func model(_ url: String, _ dialect: Dialect) -> ModelSettings {
        var model = ModelSettings(name: "m", url: url)
        model.dialect = dialect
        return model
    }

    @Test(arguments: [
        ("http://h:1", Dialect.openai, ""), ("http://h:1/", .openai, ""), ("http://h:1/a", .openai, "/a"),
        ("http://h:1/a/", .openai, "/a"),
        ("http://h:1/a/b//", .ollama, "/a/b"), ("http://h:1/a?k=1", .kserve, "/a"), ("http://h:1/predict", .none, ""),
        ("http://h:1/a/b?c", .none, ""), ("https://h", .openai, ""), ("http+unix://%2Frun%2Fx.sock/a", .openai, "/a"),
        ("http+unix://%2Frun%2Fx.sock/predict", .none, ""), ("http+unix://%2Frun%2Fx.sock", .ollama, ""),
    ])
    func pathsBeginAtTheRoot(_ url: String, _ dialect: Dialect, _ path: String) {
        #expect(ModelRoot(model(url, dialect))?.path == path)
    }

    @Test(arguments: [
        "/", "/v1/x", "/v1/x?", "/v1/x?a=b&c=%20", "//x", "/a|b", "/%zz", "/%2F%2f", "/\u{e9}", "/a b", "/[x]",
        "/a?b?c", "/?#x",
    ])
    func noByteOfATargetChanges(_ target: String) throws {
        for (url, before) in [
            ("http://h:1", ""), ("http://h:1/base/", "/base"), ("http+unix://%2Frun%2Fx.sock/base", "/base"),
        ] {
            let address = try #require(ModelRoot(model(url, .openai))?.address(of: target))
            #expect(address.target == before + target)
            let server = HTTPAddress(url)
            #expect(address.endpoint == server?.endpoint)
            #expect(address.authority == server?.authority)
            #expect(address.usesTLS == server?.usesTLS)
        }
    }

    @Test
    func aModelOfWorkersElsewhereHasNone() {
        #expect(ModelRoot(model("", .openai)) == nil)
    }

    @Test
    func modelsOfOneServerHaveOneRoot() {
        #expect(ModelRoot(model("http://h:1/predict", .none)) == ModelRoot(model("http://h:1/other", .none)))
        #expect(ModelRoot(model("http://h:1/a", .openai)) == ModelRoot(model("http://h:1/a/", .ollama)))
        #expect(ModelRoot(model("http://h:1/a", .openai)) != ModelRoot(model("http://h:1/b", .openai)))
        #expect(ModelRoot(model("http://h:1", .openai)) != ModelRoot(model("http://h:2", .openai)))
        #expect(ModelRoot(model("http://h:1", .openai)) != ModelRoot(model("https://h:1", .openai)))
    }
}
