import Synchronization

/// What is known of how each model server does. In memory only: a start begins with no opinion.
///
/// The calls of jobs tell, and so do probes if the model has a `health` path; then the last probe decides.
package final class ModelHealth: Sendable {
    package struct Verdict: Sendable, Equatable {
        /// Whether the model server counts as up.
        package var isUp = true
        /// The last trouble in words; nil once it is over.
        package var lastError: String?
    }

    /// A verdict that has turned: worth a line in the log.
    package enum Turn: Sendable, Equatable {
        case wentDown, cameUp
    }

    private struct Opinions {
        var calls = Verdict()
        /// Nil while the model has no `health` path, and until it was asked.
        var probe: Verdict?

        var verdict: Verdict {
            guard let probe else { return calls }
            return Verdict(isUp: probe.isUp, lastError: probe.lastError ?? calls.lastError)
        }
    }

    private let models = Mutex<[String: Opinions]>([:])

    package init() {}

    package func verdict(on model: String) -> Verdict {
        models.withLock { $0[model]?.verdict ?? Verdict() }
    }

    /// Takes an attempt's outcome into account: any answer at all means up.
    func note(_ outcome: Outcome, of model: String) -> Turn? {
        change(model) { opinions in
            switch outcome {
            case .answered:
                if opinions.calls != Verdict() { opinions.calls = Verdict() }
            case .failed(let failure, _):
                opinions.calls = Verdict(isUp: failure.code != .connectFailed, lastError: failure.message)
            }
        }
    }

    /// Takes the answer to a probe into account.
    ///
    /// - Parameter problem: nil: the model server is well.
    package func note(probe problem: String?, of model: String) -> Turn? {
        change(model) { $0.probe = Verdict(isUp: problem == nil, lastError: problem) }
    }

    /// The model has no `health` path any more: its calls alone decide again.
    package func forgetProbe(of model: String) {
        models.withLock { $0[model]?.probe = nil }
    }

    private func change(_ model: String, _ change: (inout Opinions) -> Void) -> Turn? {
        models.withLock { models in
            var opinions = models[model] ?? Opinions()
            let wasUp = opinions.verdict.isUp
            change(&opinions)
            models[model] = opinions
            guard opinions.verdict.isUp != wasUp else { return nil }
            return wasUp ? .wentDown : .cameUp
        }
    }
}
