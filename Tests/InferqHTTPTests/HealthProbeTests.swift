import Testing

@testable import InferqHTTP

struct HealthProbeTests {
    @Test(arguments: [
        ("http://127.0.0.1:9001/predict", "http://127.0.0.1:9001/health"),
        ("http://model.lan", "http://model.lan/health"),
        ("https://model.lan?x=/y", "https://model.lan/health"),
        ("http+unix://%2Frun%2Focr.sock/predict", "http+unix://%2Frun%2Focr.sock/health"),
        ("http://[::1]:9001/a/b?c=://d", "http://[::1]:9001/health"),
    ])
    func theHealthPathIsOnTheServerOfTheModel(_ url: String, _ address: String) {
        #expect(HealthProbe.address(of: url, path: "/health") == address)
    }
}
