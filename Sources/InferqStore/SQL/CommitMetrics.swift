package import InferqCore
import Synchronization

/// How long the writer's transactions take, their sync included, and how many operations share one.
package final class CommitMetrics: Sendable {
    package let duration = Histogram.ofSteps()
    package let operations = Histogram(bounds: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512], unitsPerOne: 1)

    private let origin = ContinuousClock.now
    /// Microseconds from ``origin`` to the beginning of the transaction. Moved by the writer alone.
    private let beginning = Atomic<Int>(0)

    /// A transaction begins.
    func begin() {
        beginning.store(elapsed, ordering: .relaxed)
    }

    /// A transaction is on disk; what follows without a ``begin()`` counts from here.
    func committed(_ count: Int) {
        let now = elapsed
        duration.observe(now - beginning.load(ordering: .relaxed))
        operations.observe(count)
        beginning.store(now, ordering: .relaxed)
    }

    private var elapsed: Int { (ContinuousClock.now - origin).microseconds }
}
