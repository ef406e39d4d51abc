import Testing

@testable import InferqHTTP

struct KServePathTests {
    @Test(arguments: [
        ("/v2", nil, CallUse.reading, "/v2"), ("/v2/health/live", nil, .reading, "/v2/health/*"),
        ("/v2/health/ready", nil, .reading, "/v2/health/*"), ("/v2/models/m", "m", .reading, "/v2/models/{model}"),
        ("/v2/models/m/ready", "m", .reading, "/v2/models/{model}/ready"),
        ("/v2/models/m/versions/1", "m", .reading, "/v2/models/{model}"),
        ("/v2/models/m/versions/1/ready", "m", .reading, "/v2/models/{model}/ready"),
        ("/v2/models/m/infer", "m", .jobs, "/v2/models/{model}/infer"),
        ("/v2/models/m/versions/7/infer", "m", .jobs, "/v2/models/{model}/infer"),
        ("/v2/models/m/generate", "m", .jobs, "/v2/models/{model}/generate"),
        ("/v2/models/m/generate_stream", "m", .jobs, "/v2/models/{model}/generate_stream"),
        ("/v2/models/m/versions/a.b/infer_stream", "m", .jobs, "/v2/models/{model}/infer_stream"),
        ("/v2/models/a%2Fb/infer", "a/b", .jobs, "/v2/models/{model}/infer"),
        ("/v2/models/versions/infer", "versions", .jobs, "/v2/models/{model}/infer"),
        ("/v2/models/ready", "ready", .reading, "/v2/models/{model}"),
    ])
    func aPathIsRead(_ path: String, _ model: String?, _ use: CallUse, _ route: String) throws {
        let read = try #require(KServePath(path))
        #expect(read.model == model)
        #expect(read.use == use)
        #expect(read.route == route)
        #expect(KServePath.routes.contains(read.route))
    }

    @Test(arguments: [
        "", "/", "/v2/", "/v20", "/v2x/models/m", "/v2/models", "/v2/models/", "/v2/models//infer", "/v2/models/m/",
        "/v2/health",
        "/v2/health/", "/v2/models/m/versions", "/v2/models/m/versions//infer", "/v2/models/m/infer/",
        "/v2/models/m/infer/x",
        "/v2/models/m/load", "/v2/models/m/unload", "/v2/repository/index", "/v2/repository/models/m/load",
        "/v2/models/m/stats",
        "//v2", "/V2", "/v1/models/m/infer", "/v2/models/m/INFER", "/v2/health//live", "/v2/inference",
        "/v2/models/m/n/infer",
    ])
    func anotherPathIsNone(_ path: String) {
        #expect(KServePath(path) == nil)
    }
}
