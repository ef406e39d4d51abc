/// The paths that hold no data and need no key, also while the gateway cannot work.
enum OpenPath: String, CaseIterable, Sendable {
    case live = "/livez"
    case ready = "/readyz"
    case healthLive = "/health/livez"
    case healthReady = "/health/readyz"
    case openAPI = "/openapi.json"
    case page = "/"

    /// - Parameter path: of a request's target, without the query; slashes count as in ``Routes``.
    init?(path: some StringProtocol) {
        self.init(rawValue: "/" + path.split(separator: "/").joined(separator: "/"))
    }
}
