import InferqCore
import Logging

/// Requests that were refused: counted, and those written to the log that an administrator can do something about.
struct Refusals: Sendable {
    let metrics: HTTPMetrics
    private let throttle = LogThrottle()

    /// - Parameter error: its `detail` goes to the log: it holds no secrets, and the log escapes what it quotes.
    func note(_ error: APIError, _ logger: Logger) {
        metrics.refused(error)
        guard let level = Self.levels[error.code] else { return }
        throttle.log(
            logger, level, "request refused",
            of: error.code, metadata: ["code": "\(error.code)", "reason": "\(error.detail)"]
        )
    }

    /// What is the client's own mistake is not among them.
    private static let levels: [String: Logger.Level] = [
        "bodies_in_flight": .warning, "connections": .warning, "disk_full": .warning, "forbidden_origin": .notice,
        "misdirected": .notice, "queue_full": .warning, "store_unavailable": .warning,
    ]
}
