import Synchronization

/// What the last calls of each model server said of it. In memory only: a start begins with no opinion.
package final class ModelHealth: Sendable {
    package struct Verdict: Sendable, Equatable {
        /// Whether the model server could be reached at the last try.
        package var isUp = true
        /// The last failure in words; nil once a call has succeeded.
        package var lastError: String?
    }

    private let verdicts = Mutex<[String: Verdict]>([:])

    package init() {}

    package func verdict(on model: String) -> Verdict {
        verdicts.withLock { $0[model] ?? Verdict() }
    }

    /// Takes an attempt's outcome into account: any answer at all means up.
    func note(_ outcome: Outcome, of model: String) {
        switch outcome {
        case .answered: verdicts.withLock { $0[model] = Verdict() }
        case .failed(let failure, _):
            let isUp = failure.code != .connectFailed
            verdicts.withLock { $0[model] = Verdict(isUp: isUp, lastError: failure.message) }
        }
    }

    /// Takes the answer to a health probe into account.
    package func note(isUp: Bool, error: String?, of model: String) {
        verdicts.withLock { $0[model] = Verdict(isUp: isUp, lastError: error) }
    }
}
