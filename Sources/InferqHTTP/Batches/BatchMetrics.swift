import InferqCore
import Synchronization

/// Batches, for operators: how many are open, and how those of before have ended since the start.
final class BatchMetrics: Sendable {
    private let running = Mutex<Set<UUIDv7>>([])
    /// Of the answers' lines.
    private let completed = Counter()
    private let failed = Counter()
    private let ended = Batch.State.allCases.filter(\.isFinal).map { (state: $0, counter: Counter()) }

    /// Somebody begins to work at a batch.
    ///
    /// - Returns: false when somebody does already.
    func begin(_ batch: UUIDv7) -> Bool {
        running.withLock { $0.insert(batch).inserted }
    }

    /// No one works at it any more.
    func leave(_ batch: UUIDv7) {
        _ = running.withLock { $0.remove(batch) }
    }

    /// Batches that are worked at.
    var openCount: Int { running.withLock { $0.count } }

    func ended(_ batch: Batch) {
        completed.add(batch.completed)
        failed.add(batch.failed)
        ended.first { $0.state == batch.state }?.counter.add()
    }

    func write(_ text: inout MetricsText) {
        text.metric("inferq_batches_open", .gauge, "Batches that have not ended.")
        text.sample(openCount)
        text.metric("inferq_batches_ended_total", .counter, "Batches that ended, by status.")
        for (state, counter) in ended { text.sample(counter.value, ["status": state.name]) }
        text.metric("inferq_batch_lines_total", .counter, "Lines of batches that ended, by the file they are in.")
        text.sample(completed.value, ["file": "output"])
        text.sample(failed.value, ["file": "errors"])
    }
}
