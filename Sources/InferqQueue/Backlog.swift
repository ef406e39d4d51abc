import Foundation
import InferqStore
import Synchronization

/// How many jobs of each model are pending and running, and how fast they end: counters, since counting rows is linear.
///
/// Read once from the store at the start; afterwards every committed change moves them.
final class Backlog: Sendable {
    struct Figures: Sendable, Equatable {
        var pending = 0
        var running = 0
        /// Jobs that ended per second, averaged over about the last half minute.
        var rate = 0.0
    }

    private struct Model {
        var limit = Int.max
        var pending = 0
        var running = 0
        /// Due jobs by priority.
        var due: [Int: Int] = [:]
        /// Ended jobs, weighted down by age.
        var ended = 0.0
        var lastEnd: ContinuousClock.Instant?
    }

    /// The time in which a past end loses all but 1/e of its weight.
    private static let memory = 30.0

    private let models = Mutex<[String: Model]>([:])

    /// Sets how many jobs of a model may be pending.
    func setLimit(_ limit: Int, of model: String) {
        models.withLock { $0[model, default: Model()].limit = limit }
    }

    /// Counts jobs found at the start.
    func add(_ count: Int, of model: String, priority: Int, isDue: Bool) {
        models.withLock { models in
            models[model, default: Model()].pending += count
            if isDue { models[model, default: Model()].due[priority, default: 0] += count }
        }
    }

    /// Counts a job that was found running at the start.
    func addRunning(of model: String) {
        models.withLock { $0[model, default: Model()].running += 1 }
    }

    /// Makes room for one more pending job, before it is stored.
    ///
    /// - Returns: false when the model's queue is full.
    func reserve(_ model: String) -> Bool {
        models.withLock { models in
            let found = models[model] ?? Model()
            guard found.pending < found.limit else { return false }
            models[model, default: Model()].pending += 1
            return true
        }
    }

    /// Gives the room of a job back that was not stored.
    func release(_ model: String) {
        models.withLock { $0[model, default: Model()].pending -= 1 }
    }

    /// Moves the counters after a commit. A new job was counted by ``reserve(_:)``.
    func apply(_ change: JobStore.Change, now: ContinuousClock.Instant) {
        models.withLock { models in
            var model = models[change.job.model] ?? Model()
            defer { models[change.job.model] = model }
            let priority = change.job.options.priority
            switch change.before {
            case .pending(let isDue):
                model.pending -= 1
                if isDue { model.due[priority] = (model.due[priority] ?? 1) - 1 }
            case .running: model.running -= 1
            case nil: model.pending -= 1
            case .completed, .failed, .cancelled: return
            }
            switch change.job.state {
            case .pending(let isDue):
                model.pending += 1
                if isDue { model.due[priority, default: 0] += 1 }
            case .running: model.running += 1
            case .completed, .failed, .cancelled:
                model.ended = Self.decayed(model.ended, from: model.lastEnd, to: now) + 1
                model.lastEnd = now
            }
            if model.due[priority] == 0 { model.due[priority] = nil }
        }
    }

    func figures(of model: String, now: ContinuousClock.Instant) -> Figures {
        models.withLock { models in
            guard let model = models[model] else { return Figures() }
            return Figures(
                pending: model.pending,
                running: model.running,
                rate: Self.decayed(model.ended, from: model.lastEnd, to: now) / Self.memory
            )
        }
    }

    /// Due jobs of a higher priority, and all of the same one.
    func due(of model: String, priority: Int) -> (higher: Int, same: Int) {
        models.withLock { models in
            guard let due = models[model]?.due else { return (0, 0) }
            return (due.reduce(0) { $1.key > priority ? $0 + $1.value : $0 }, due[priority] ?? 0)
        }
    }

    func hasDue(of model: String) -> Bool {
        models.withLock { $0[model]?.due.values.contains { $0 > 0 } ?? false }
    }

    private static func decayed(
        _ weight: Double,
        from last: ContinuousClock.Instant?,
        to now: ContinuousClock.Instant
    ) -> Double {
        guard let last else { return weight }
        let seconds = max(0, (now - last) / .seconds(1))
        return weight * exp(-seconds / memory)
    }
}
