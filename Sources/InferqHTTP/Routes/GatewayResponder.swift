import HTTPTypes
import InferqCore
import InferqStore
package import Logging
import NIOCore
import NIOHTTP1

/// Answers one request: the checks that come before any route, the route, and a problem document for every error.
package final class GatewayResponder: Sendable {
    private let gateway: Gateway
    private let routes: Routes
    private let calls: CallRoutes
    private let logger: Logger
    private let dates = DateHeader()

    package init(gateway: Gateway, logger: Logger) {
        self.gateway = gateway
        self.logger = logger
        routes = Routes(gateway)
        calls = CallRoutes(gateway: gateway)
    }

    /// The answer of a route, or the problem document of an error.
    ///
    /// - Throws: only when there is no one to answer.
    package func response(
        to request: Request,
        _ connection: Connection,
        isRefused: Bool
    ) async throws -> Response {
        if isRefused {
            return finished(ErrorForm.of(path: request.path).response(for: .tooManyConnections, instance: nil), request)
        }
        let place = routes.find(request.method, request.ownPath)
        var response = try await response(to: request, place, connection)
        if case .found(let match) = place { response.isLong = match.route.kind == .stream }
        return response
    }

    private func response(
        to request: Request, _ place: Routes.Place, _ connection: Connection
    ) async throws -> Response {
        do {
            return finished(try await answer(request, place, connection), request)
        } catch let error as HTTPParserError {
            // The body was malformed: the guard has answered that already.
            throw error
        } catch let error as ChannelError {
            // The client went away before its body was complete: there is no one to answer.
            throw error
        } catch {
            return finished(problem(error, request), request)
        }
    }

    private func problem(_ error: any Error, _ request: Request) -> Response {
        let known = APIError.translated(error)
        note(error, known, request)
        let error = known ?? .unforeseen
        let form = ErrorForm.ofOwn(path: request.ownPath)
        return form?.response(for: error, instance: request.path, target: request.target)
            ?? error.response(instance: request.path, target: request.target)
    }

    /// Says in the log what only an operator can mend.
    private func note(_ error: any Error, _ known: APIError?, _ request: Request) {
        let path = request.path
        if case StoreError.damaged(let reason) = error {
            logger.error("a part of the store is damaged", metadata: ["path": "\(path)", "reason": "\(reason)"])
        }
        if let known {
            if known.code == .scopeMissing { gateway.access.metrics.count(known.code) }
            gateway.refusals.note(known, logger)
        } else if !(error is CancellationError) {
            logger.error("a request hit an unexpected error", metadata: ["path": "\(path)", "error": "\(error)"])
        }
    }

    /// An answer with what every answer has.
    private func finished(_ response: Response, _ request: Request) -> Response {
        var response = response
        // A model server's own passes.
        if !response.headers.contains(.date) { response.headers.append(dates.current) }
        CORS.mark(&response.headers, request, gateway.settings.current)
        if request.method == .head { response.removeBody() }
        return response
    }

    private func answer(
        _ request: Request, _ place: Routes.Place, _ connection: Connection
    ) async throws -> Response {
        let settings = gateway.settings.current
        let match: Routes.Match
        var caller = Caller.stranger
        do {
            do throws(APIError) {
                try checkHost(request, connection, settings)
                try checkOrigin(request, settings)
            } catch {
                gateway.refusals.note(error, logger)
                return refusal(error, request, place.isUnknown && CallPath.isOfDialects(request.path))
            }
            switch right(of: request, place, connection) {
            case .success(let known): caller = known
            case .failure(let error): return refusal(error, request, place.isUnknown)
            }
            if case .unknownPath = place, let response = try await call(request, connection, caller, settings) {
                return response
            }
            guard request.method != .options else { return try options(request, place, settings) }
            match = try found(place, request)
            try match.route.needs.check(caller)
        } catch {
            if let error = error as? APIError { gateway.metrics.unrouted.answered(error.status.code, .now) }
            throw error
        }
        let context = GatewayContext(
            connection: connection, caller: caller, settings: settings, parameters: match.parameters,
            logger: logger
        )
        let start = ContinuousClock.now
        do {
            let response = try await match.route.answer(request, context)
            match.metrics.answered(response.status.code, start)
            return response
        } catch {
            match.metrics.answered((APIError.translated(error) ?? .unforeseen).status.code, start)
            throw error
        }
    }

    /// What is said to a client before anybody looks for a route.
    ///
    /// - Parameter mayBeCall: whether the client may be a model server's.
    private func refusal(_ error: APIError, _ request: Request, _ mayBeCall: Bool) -> Response {
        gateway.metrics.unrouted.answered(error.status.code, .now)
        // By the path alone: the form of a model's dialect would tell that there is the model.
        let form: ErrorForm? = mayBeCall ? .of(path: request.path) : .ofOwn(path: request.ownPath)
        return form?.response(for: error, instance: request.path) ?? error.response(instance: request.path)
    }

    private static let anyMethod = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

    /// A call of a model server. What is wrong with it is said in the server's own language.
    ///
    /// - Returns: nil when the path is none of calls.
    private func call(
        _ request: Request, _ connection: Connection, _ caller: Caller, _ settings: HTTPSettings
    ) async throws -> Response? {
        let table = gateway.callTable.current
        let start = ContinuousClock.now
        var metrics = gateway.metrics.unrouted
        do {
            if request.method == .options {
                // Who shows no key does not learn here which models there are.
                if gateway.access.mayBeStrange(connection) {
                    return CORS.preflight(request, allowed: Self.anyMethod, takesAll: true, settings)
                        ?? Response(status: .noContent, headers: [.allow: Self.anyMethod])
                }
                guard let allow = table.allow(request.path) else { return nil }
                return CORS.preflight(request, allowed: allow, takesAll: true, settings)
                    ?? Response(status: .noContent, headers: [.allow: allow])
            }
            guard let found = try table.find(request.method, request.path, query: request.query) else { return nil }
            metrics = gateway.metrics.call(found.route, request.method)
            let context = GatewayContext(
                connection: connection, caller: caller, settings: settings,
                parameters: PathParameters(names: [], values: []), logger: logger
            )
            let response = try await calls.answer(request, found, context)
            metrics.answered(response.status.code, start)
            return response
        } catch {
            guard !(error is HTTPParserError), !(error is ChannelError) else { throw error }
            let known = APIError.translated(error)
            note(error, known, request)
            let response = table.form(of: request.path).response(
                for: known ?? .unforeseen, instance: request.path, target: request.target)
            metrics.answered(response.status.code, start)
            return response
        }
    }

    private func right(
        of request: Request, _ place: Routes.Place, _ connection: Connection
    ) -> Result<Caller, APIError> {
        // A browser asks so before it may show a key, and hears nothing but what the document says.
        if request.method == .options { return .success(.stranger) }
        return Result { () throws(APIError) in
            try gateway.access.caller(of: request, on: connection, place.needs)
        }
    }

    /// The last byte of an answer is written, or the connection is dead.
    func ended(_ connection: Connection) {
        gateway.access.ended(connection)
    }

    // MARK: Before the routes

    /// A page in a browser can make any name resolve to this host, but must then send that name (DNS rebinding).
    private func checkHost(_ request: Request, _ connection: Connection, _ settings: HTTPSettings) throws(APIError) {
        guard let host = request.authority, !host.isEmpty else { return }
        let name = HostName(host)
        guard name.isAddress || name.text == "localhost" || connection.isLocal || settings.hosts.contains(name.text)
        else { throw .misdirected(host) }
    }

    /// A browser names the page that a call comes from; only our own and those that are allowed may.
    private func checkOrigin(_ request: Request, _ settings: HTTPSettings) throws(APIError) {
        guard let origin = request.headers[.origin] else { return }
        if settings.origins.contains(origin) { return }
        guard request.isOwn(origin) else { throw .forbiddenOrigin(origin) }
    }

    // MARK: Paths and methods

    private func found(_ place: Routes.Place, _ request: Request) throws(APIError) -> Routes.Match {
        switch place {
        case .found(let match): return match
        case .otherMethod(let allow): throw .methodNotAllowed(request.method.rawValue, allow: allow)
        case .unknownPath: throw .noSuchPath(request.path)
        }
    }

    private func options(
        _ request: Request, _ place: Routes.Place, _ settings: HTTPSettings
    ) throws(APIError) -> Response {
        if request.target == "*" { return Response(status: .noContent) }
        // No row offers OPTIONS.
        guard case .otherMethod(let allow) = place else { throw .noSuchPath(request.path) }
        if let preflight = CORS.preflight(request, allowed: allow, settings) { return preflight }
        return Response(status: .noContent, headers: [.allow: allow])
    }
}

extension Request {
    /// The path by which the gateway's own routes are found.
    fileprivate var ownPath: String { ResponseFacts.unmounted(path) ?? path }
}

extension Routes.Place {
    /// Nil where no route was found.
    fileprivate var needs: RouteNeeds? {
        if case .found(let match) = self { match.route.needs } else { nil }
    }

    fileprivate var isUnknown: Bool {
        if case .unknownPath = self { true } else { false }
    }
}
