import HTTPTypes

/// One row of the table of routes: all that follows from the method and the path of a request.
struct Route: Sendable {
    typealias Answer = @Sendable (Request, GatewayContext) async throws -> Response

    enum Kind: Sendable {
        /// Is found and written, and that is all.
        case answer
        /// Goes on for as long as its client listens.
        case stream
    }

    /// A GET is offered as a HEAD as well, and every path answers OPTIONS.
    let method: HTTPRequest.Method
    /// The path, and the route's name in metrics. `{name}` is one segment; `{name...}` at the end is all that follows,
    /// as it was sent.
    let template: String
    let needs: RouteNeeds
    let kind: Kind
    let answer: Answer

    init(
        _ method: HTTPRequest.Method, _ template: String, _ needs: RouteNeeds, kind: Kind = .answer,
        _ answer: @escaping Answer
    ) {
        self.method = method
        self.template = template
        self.needs = needs
        self.kind = kind
        self.answer = answer
    }

    /// What anyone may read.
    init(_ path: OpenPath, _ answer: @escaping Answer) {
        self.init(.get, path.rawValue, .nothing, answer)
    }
}
