/// The paths that need no key in the head of a request, also while the gateway cannot work: they hold no data.
enum OpenPath: String, CaseIterable, Sendable {
    case live = "/livez"
    case ready = "/readyz"
    case healthLive = "/health/livez"
    case healthReady = "/health/readyz"
    case openAPI = "/openapi.json"
    case page = "/"
    /// Its key comes in the body.
    case session = "/v1/session"

    /// - Parameter path: of a request's target, without the query; slashes count as in ``Routes``.
    init?(path: some StringProtocol) {
        self.init(rawValue: "/" + path.split(separator: "/").joined(separator: "/"))
    }
}
