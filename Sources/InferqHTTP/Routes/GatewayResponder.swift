import HTTPTypes
import Hummingbird
package import HummingbirdCore
import InferqCore
package import Logging
import NIOCore
import NIOHTTP1

/// Answers one request: the checks that come before any route, the router, and a problem document for every error.
package struct GatewayResponder: Sendable {
    private let gateway: Gateway
    private let routes: RouterResponder<GatewayContext>
    /// The same paths with the methods that each offers: tells an unknown path from an unknown method.
    private let paths: RouterResponder<PathContext>
    private let logger: Logger
    private let dates = DateHeader()

    package init(gateway: Gateway, logger: Logger) {
        self.gateway = gateway
        self.logger = logger
        let table = RouteTable(gateway)
        routes = table.routes.buildResponder()
        paths = table.paths.buildResponder()
    }

    /// Writes an answer; of one that is a stream, until the stream ends.
    ///
    /// - Throws: only when the answer could not be written: the connection is dead.
    func send(_ response: Response, _ connection: Connection) async throws {
        var writer = AnswerWriter(response.head, to: connection.channel)
        if response.body.contentLength == nil { writer.flushHead() }
        try await response.body.write(writer)
    }

    /// The answer of a route, or the problem document of an error.
    ///
    /// - Throws: only when there is nobody to answer.
    package func response(
        to request: Request,
        _ connection: Connection,
        isRefused: Bool
    ) async throws -> Response {
        var response: Response
        do {
            response =
                isRefused
                ? APIError.tooManyConnections.response(instance: nil)
                : try await answer(request, connection)
        } catch let error as HTTPParserError {
            // The body was malformed: the guard has answered that already.
            throw error
        } catch let error as ChannelError {
            // The client went away before its body was complete: there is nobody to answer.
            throw error
        } catch {
            if case StoreError.damaged(let reason) = error {
                logger.error(
                    "a part of the store is damaged", metadata: ["path": "\(request.uri.path)", "reason": "\(reason)"]
                )
            }
            let known = APIError.translated(error)
            if known == nil, !(error is CancellationError) {
                logger.error(
                    "a request met an unforeseen error",
                    metadata: ["path": "\(request.uri.path)", "error": "\(error)"]
                )
            }
            if let known { gateway.refusals.note(known, logger) }
            response = (known ?? .unforeseen).response(instance: request.uri.path, target: request.uri.string)
        }
        response.headers[.date] = dates.current
        CORS.mark(&response.headers, request, gateway.settings.current)
        if request.method == .head {
            let length = response.body.contentLength
            response.body = ResponseBody()
            response.headers[.contentLength] = length.map { String($0) }
        }
        return response
    }

    private func answer(_ request: Request, _ connection: Connection) async throws -> Response {
        let settings = gateway.settings.current
        try checkHost(request, connection, settings)
        try checkOrigin(request, settings)
        guard request.method != .options else { return try await options(request) }
        let source = GatewayContext.Source(connection: connection, settings: settings, logger: logger)
        let response = try await routes.respond(to: request, context: GatewayContext(source: source))
        // No route answers a bare 404: it is the router's, for a path or a method that it does not have.
        guard response.status != .notFound else { throw try await missing(request) }
        return response
    }

    // MARK: Before the routes

    /// A page in a browser can make any name resolve to this host, but must then send that name (DNS rebinding).
    private func checkHost(_ request: Request, _ connection: Connection, _ settings: HTTPSettings) throws(APIError) {
        guard let host = request.head.authority, !host.isEmpty else { return }
        let name = HostName(host)
        guard name.isAddress || name.text == "localhost" || connection.isLocal || settings.hosts.contains(name.text)
        else { throw .misdirected(host) }
    }

    /// A browser names the page that a call comes from; only our own and those that are allowed may.
    private func checkOrigin(_ request: Request, _ settings: HTTPSettings) throws(APIError) {
        guard let origin = request.headers[.origin] else { return }
        if settings.origins.contains(origin) { return }
        let own = request.head.authority.map { ["http://\($0)", "https://\($0)"] } ?? []
        guard own.contains(origin) else { throw .forbiddenOrigin(origin) }
    }

    // MARK: Paths and methods

    private func allowed(_ request: Request) async throws -> String? {
        let head = HTTPRequest(
            method: .get, scheme: nil, authority: nil, path: request.uri.path, headerFields: [:]
        )
        let probe = Request(head: head, body: RequestBody(buffer: ByteBuffer()))
        let response = try await paths.respond(to: probe, context: PathContext(source: .init(logger: logger)))
        return response.headers[.allow]
    }

    private func missing(_ request: Request) async throws -> APIError {
        guard let allowed = try await allowed(request) else { return .noSuchPath(request.uri.path) }
        return .methodNotAllowed(request.method.rawValue, allow: allowed)
    }

    private func options(_ request: Request) async throws -> Response {
        if request.head.path == "*" { return Response(status: .noContent) }
        guard let allowed = try await allowed(request) else { throw APIError.noSuchPath(request.uri.path) }
        if let preflight = CORS.preflight(request, allowed: allowed, gateway.settings.current) { return preflight }
        return Response(status: .noContent, headers: [.allow: allowed])
    }
}

/// The context of the table of methods.
struct PathContext: RequestContext {
    struct Source: RequestContextSource {
        let logger: Logger
    }

    var coreContext: CoreRequestContextStorage

    init(source: Source) {
        coreContext = CoreRequestContextStorage(source: source)
    }
}

/// All paths, each with its methods.
struct RouteTable {
    let routes = Router(context: GatewayContext.self)
    let paths = Router(context: PathContext.self)
    private let metrics: HTTPMetrics

    typealias Route = @Sendable (Request, GatewayContext) async throws -> Response

    init(_ gateway: Gateway) {
        metrics = gateway.metrics
        SubmitRoutes(gateway: gateway).add(to: self)
        ReadRoutes(gateway: gateway).add(to: self)
        NotifyRoute(gateway: gateway).add(to: self)
        EventsRoute(gateway: gateway).add(to: self)
        NotificationRoutes(gateway: gateway).add(to: self)
        ModelRoutes(gateway: gateway).add(to: self)
        OperatorRoutes(gateway: gateway).add(to: self)
        MetricsRoute(gateway: gateway).add(to: self)
        DocumentRoutes().add(to: self)
        StoreRoutes(gateway: gateway).add(to: self)
        StatusRoute(gateway: gateway).add(to: self)
        WorkerRoutes(gateway: gateway).add(to: self)
    }

    /// Offers `methods` on `path`; a GET is a HEAD as well, and every path answers OPTIONS.
    func on(_ path: RouterPath, _ methods: [HTTPRequest.Method: Route]) {
        var names: [String] = []
        for (method, route) in methods {
            routes.on(path, method: method, use: metrics.counting(path.description, method, route))
            names.append(method.rawValue)
            if method == .get {
                routes.on(path, method: .head, use: metrics.counting(path.description, .head, route))
                names.append("HEAD")
            }
        }
        let allow = (names + ["OPTIONS"]).sorted().joined(separator: ", ")
        paths.get(path) { _, _ in Response(status: .noContent, headers: [.allow: allow]) }
    }
}
