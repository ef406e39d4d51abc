import InferqCore
import Synchronization

/// Calls, for operators: how they were answered, and what became of those whose clients had gone.
final class CallMetrics: Sendable {
    /// Repeats that were given the answer of the call that they repeat.
    let attached = Counter()
    /// Jobs that were cancelled since their clients had gone.
    let abandoned = Counter()
    /// Answers by dialect and class of the status, 1xx to 5xx.
    private let answers = Dialect.allCases.map { _ in (1...5).map { _ in Counter() } }

    func answered(_ dialect: Dialect, _ status: Int) {
        guard let index = Dialect.allCases.firstIndex(of: dialect) else { return }
        answers[index][min(max(status / 100, 1), 5) - 1].add()
    }

    func write(_ text: inout MetricsText) {
        text.metric("inferq_calls_total", .counter, "Calls that were answered, by dialect and status class.")
        for (dialect, classes) in zip(Dialect.allCases, answers) {
            for (index, counter) in classes.enumerated() where counter.value > 0 {
                text.sample(counter.value, ["dialect": dialect.rawValue, "code": "\(index + 1)xx"])
            }
        }
        text.metric(
            "inferq_calls_attached_total", .counter, "Repeats that were given the answer of the call that they repeat.")
        text.sample(attached.value)
        text.metric(
            "inferq_calls_abandoned_total", .counter,
            "Jobs of calls that were cancelled because their clients had gone.")
        text.sample(abandoned.value)
    }
}
