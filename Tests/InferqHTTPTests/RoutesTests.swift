import HTTPTypes
import Testing

@testable import InferqHTTP

/// The look-up in a table of routes, without requests.
struct RoutesTests {
    private let metrics = HTTPMetrics()
    private let routes: Routes

    init() {
        let rows: [(HTTPRequest.Method, String)] = [
            (.get, "/"), (.get, "/jobs"), (.post, "/jobs"), (.get, "/jobs/{id}"), (.delete, "/jobs/{id}"),
            (.get, "/jobs/newest"), (.post, "/jobs/{id}/cancel"), (.put, "/jobs/{id}/parts/{part}"),
            (.post, "/upstream/{model}/{path...}"), (.get, "/upstream/{model}/{path...}"), (.get, "/upstream/list"),
        ]
        routes = Routes(rows.map { Route($0, $1, .nothing) { _, _ in .json([]) } }, metrics: metrics)
    }

    /// The template that a request comes to, with the values of `names`.
    private func find(_ path: String, _ method: HTTPRequest.Method = .get, _ names: String...) -> [String?] {
        guard case .found(let match) = routes.find(method, path) else { return [] }
        return [match.route.template] + names.map { match.parameters[$0].map { String($0) } }
    }

    private func allow(_ path: String, _ method: HTTPRequest.Method = .patch) -> String? {
        guard case .otherMethod(let allow) = routes.find(method, path) else { return nil }
        return allow
    }

    private func isUnknown(_ path: String) -> Bool {
        guard case .unknownPath = routes.find(.get, path) else { return false }
        return true
    }

    @Test(arguments: [
        ("/", "/"), ("/jobs", "/jobs"), ("/jobs/7", "/jobs/{id}"), ("/jobs/newest", "/jobs/newest"),
        ("/upstream/list", "/upstream/list"), ("/upstream/lists", "/upstream/{model}/{path...}"),
    ])
    func aPathComesToItsTemplate(_ path: String, _ template: String) {
        #expect(find(path) == [template])
    }

    @Test(arguments: ["", "//", "///"])
    func aPathOfSlashesIsTheRoot(_ path: String) {
        #expect(find(path) == ["/"])
    }

    @Test(arguments: ["/jobs/7/", "//jobs/7", "/jobs//7", "/jobs///7///", "jobs/7"])
    func emptySegmentsDoNotCount(_ path: String) {
        #expect(find(path, .get, "id") == ["/jobs/{id}", "7"])
    }

    @Test(arguments: ["7", "%2F", "a%20b", "%", "..", "{id}", "\u{e9}", "a:b;c=d"])
    func aParameterIsGivenAsItWasSent(_ value: String) {
        #expect(find("/jobs/\(value)", .get, "id", "part") == ["/jobs/{id}", value, nil])
    }

    @Test
    func eachParameterHasItsName() {
        #expect(find("/jobs/7/parts/8", .put, "part", "id") == ["/jobs/{id}/parts/{part}", "8", "7"])
    }

    /// "newest" is a path of its own, but "/jobs/newest/cancel" is a job's.
    @Test
    func aSegmentThatLeadsNowhereMayStillBeAParameter() {
        #expect(find("/jobs/newest/cancel", .post, "id") == ["/jobs/{id}/cancel", "newest"])
    }

    @Test(arguments: [
        "/nothing", "/Jobs", "/job", "/jobss", "/jobs/7/nothing", "/jobs/7/cancel/now", "/jobs%2F7", "/%6Aobs",
        "/upstream",
        "*", "/jobs/7/parts",
    ])
    func otherPathsAreUnknown(_ path: String) {
        #expect(isUnknown(path))
    }

    @Test
    func longPathsAreOnlyLong() {
        #expect(isUnknown("/" + String(repeating: "a", count: 1 << 20)))
        #expect(isUnknown(String(repeating: "/jobs", count: 1 << 16)))
        #expect(find(String(repeating: "/", count: 1 << 20) + "jobs") == ["/jobs"])
        let id = String(repeating: "7", count: 1 << 20)
        #expect(find("/jobs/\(id)", .get, "id") == ["/jobs/{id}", id])
    }

    // MARK: Methods

    @Test
    func aGetIsAHeadAsWell() {
        #expect(find("/jobs/7", .head, "id") == ["/jobs/{id}", "7"])
        #expect(find("/jobs/7/cancel", .head) == [])
    }

    @Test(arguments: [
        ("/", "GET, HEAD, OPTIONS"), ("/jobs", "GET, HEAD, OPTIONS, POST"),
        ("/jobs/7", "DELETE, GET, HEAD, OPTIONS"), ("/jobs/7/cancel", "OPTIONS, POST"),
        ("/upstream/m/v1/chat", "GET, HEAD, OPTIONS, POST"),
    ])
    func allowNamesTheMethodsOfThePath(_ path: String, _ methods: String) {
        #expect(allow(path) == methods)
        #expect(allow(path, .options) == methods)
    }

    @Test
    func methodsAreCaseSensitive() throws {
        let method = try #require(HTTPRequest.Method("get"))
        #expect(allow("/jobs", method) == "GET, HEAD, OPTIONS, POST")
    }

    @Test
    func eachMethodOfATemplateIsCountedByItself() {
        let jobs = metrics.routes.filter { $0.path == "/jobs" }.map(\.method)
        #expect(jobs == ["GET", "HEAD", "POST"])
    }

    // MARK: A parameter that takes all

    @Test(arguments: [
        ("v1/chat/completions", "v1/chat/completions"), ("v1/", "v1/"), ("/v1//chat/", "/v1//chat/"),
        ("a%2Fb/%2e%2e", "a%2Fb/%2e%2e"),
        ("", ""), ("/", "/"), ("../x", "../x"),
    ])
    func whatFollowsIsGivenAsItWasSent(_ sent: String, _ rest: String) {
        #expect(find("/upstream/m/\(sent)", .post, "model", "path") == ["/upstream/{model}/{path...}", "m", rest])
        #expect(find("//upstream//m/\(sent)", .post, "model", "path") == ["/upstream/{model}/{path...}", "m", rest])
    }

    @Test
    func nothingMayFollow() {
        #expect(find("/upstream/m", .post, "model", "path") == ["/upstream/{model}/{path...}", "m", ""])
    }

    @Test
    func aPathThatIsSpelledOutComesFirst() {
        #expect(find("/upstream/list", .get, "model") == ["/upstream/list", nil])
        #expect(
            find("/upstream/list/models", .get, "model", "path") == ["/upstream/{model}/{path...}", "list", "models"])
    }

    // MARK: Open paths

    @Test(arguments: [("//livez", OpenPath.live), ("/health//readyz/", .healthReady), ("", .page), ("//", .page)])
    func slashesOfAnOpenPathCountAsInTheTable(_ path: String, _ open: OpenPath) {
        #expect(OpenPath(path: path) == open)
    }

    @Test(arguments: ["/livez/x", "/Readyz", "/health", "/v1/inference", "/%6Civez"])
    func otherPathsAreNotOpen(_ path: String) {
        #expect(OpenPath(path: path) == nil)
    }
}
