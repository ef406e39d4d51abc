import HTTPTypes
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
    /// Connections to a listener that speaks TLS that ended before both sides had agreed.
    let failedHandshakes = Counter()
    let streams = StreamMetrics()
    /// What was answered before any route: a strange host or origin, an unknown path or method.
    let unrouted = Route(path: "none", method: "any")
    private let known = Mutex<[Route]>([])

    var routes: [Route] {
        known.withLock { $0 }.sorted { ($0.path, $0.method) < ($1.path, $1.method) } + [unrouted]
    }

    /// The route of a call: counted from its first request on. Paths are those of a dialect, or of the configuration.
    func call(_ path: String, _ method: HTTPRequest.Method) -> Route {
        known.withLock { known in
            if let route = known.last(where: { $0.path == path && $0.method == method.rawValue }) { return route }
            let route = Route(path: path, method: method.rawValue)
            known.append(route)
            return route
        }
    }

    /// A route that is counted from now on.
    func route(_ path: String, _ method: HTTPRequest.Method) -> Route {
        let route = Route(path: path, method: method.rawValue)
        known.withLock { $0.append(route) }
        return route
    }
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
