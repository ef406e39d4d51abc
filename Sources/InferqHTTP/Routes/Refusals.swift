import InferqCore
import Logging

/// Requests that were refused: those go to the log that an administrator can do something about.
struct Refusals: Sendable {
    private let throttle = LogThrottle()

    /// - Parameter error: its `detail` goes to the log: it holds no secrets, and the log escapes what it quotes.
    func note(_ error: APIError, _ logger: Logger) {
        guard let level = Self.level(of: error.code) else { return }
        throttle.log(
            logger, level, "request refused",
            of: error.code.rawValue, metadata: ["code": "\(error.code.rawValue)", "reason": "\(error.detail)"]
        )
    }

    private static func level(of code: ProblemCode) -> Logger.Level? {
        switch code {
        case .bodiesInFlight, .connections, .diskFull, .queueFull, .storeUnavailable: .warning
        case .forbiddenOrigin, .misdirected: .notice
        // The client's own mistake, or what the log tells elsewhere.
        default: nil
        }
    }
}
