import HTTPTypes
import Hummingbird
import InferqCore
import Synchronization

/// What goes over HTTP, for operators. Labels are bounded: routes are templates, statuses are classes.
final class HTTPMetrics: Sendable {
    /// One method of one path. The histogram of a status class counts its answers, too.
    final class Route: Sendable {
        let path: String
        let method: String
        /// 1xx to 5xx.
        let classes = (1...5).map { _ in Histogram.ofSteps() }

        init(path: String, method: String) {
            self.path = path
            self.method = method
        }

        func answered(_ status: Int, _ start: ContinuousClock.Instant) {
            let index = min(max(status / 100, 1), 5) - 1
            classes[index].observe((ContinuousClock.now - start).microseconds)
        }
    }

    let connections = Counter()
    let accepted = Counter()
    /// Connections past the limit, each answered with 503.
    let refused = Counter()
    let streams = StreamMetrics()
    /// What was answered before any route: a strange host or origin, an unknown path or method.
    private let unrouted = Route(path: "none", method: "any")
    private let known = Mutex<[Route]>([])

    var routes: [Route] {
        known.withLock { $0 }.sorted { ($0.path, $0.method) < ($1.path, $1.method) } + [unrouted]
    }

    /// `route`, counted from now on. Called while the table of routes is made.
    func counting(
        _ path: String,
        _ method: HTTPRequest.Method,
        _ route: @escaping RouteTable.Route
    ) -> RouteTable.Route {
        let figures = Route(path: path, method: method.rawValue)
        known.withLock { $0.append(figures) }
        return { request, context in
            let start = ContinuousClock.now
            do {
                let response = try await route(request, context)
                figures.answered(response.status.code, start)
                return response
            } catch {
                figures.answered((APIError.translated(error) ?? .unforeseen).status.code, start)
                throw error
            }
        }
    }

    /// Counts an error if no route has counted it already.
    func refused(_ error: APIError) {
        guard Self.codesBeforeRoutes.contains(error.code) else { return }
        unrouted.answered(error.status.code, .now)
    }

    private static let codesBeforeRoutes: Set<String> = [
        "misdirected", "forbidden_origin", "no_such_path", "method_not_allowed",
    ]
}

/// Event streams, for operators.
final class StreamMetrics: Sendable {
    let open = Counter()
    let opened = Counter()
    let events = Counter()
    private let closed = Dictionary(uniqueKeysWithValues: StreamEnd.allCases.map { ($0, Counter()) })

    func begin() {
        open.add()
        opened.add()
    }

    func end(_ reason: StreamEnd) {
        open.add(-1)
        closed[reason]?.add()
    }

    func closed(_ reason: StreamEnd) -> Int {
        closed[reason]?.value ?? 0
    }
}

/// Why an event stream was closed.
enum StreamEnd: String, Sendable, CaseIterable {
    /// The final event was sent.
    case end
    /// The client has hung up, or its connection broke.
    case client
    /// The client did not read for `limits.listener_timeout`.
    case slow
    /// The gateway stops.
    case drain
    /// The store did not answer, or the job was deleted.
    case store
}
