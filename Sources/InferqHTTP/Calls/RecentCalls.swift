import DequeModule
import InferqCore
import Synchronization

/// Calls whose connections have ended lately: a repeat of one is given its job, and the model server is called once.
///
/// Kept in memory: after a restart a repeat is a new call.
final class RecentCalls: Sendable {
    /// What two equal calls have in common: SHA-256 of method, target, model and body.
    typealias Fingerprint = [UInt8]

    private struct Entry {
        let number: Int
        let fingerprint: Fingerprint
        let until: ContinuousClock.Instant
    }

    private struct State {
        var jobs: [Fingerprint: [(number: Int, job: UUIDv7)]] = [:]
        /// In the order in which they came.
        var entries = Deque<Entry>()
        var lastNumber = 0

        mutating func forget(now: ContinuousClock.Instant, keeping limit: Int) {
            while let first = entries.first, first.until <= now || entries.count > limit {
                entries.removeFirst()
                remove(first.number, of: first.fingerprint)
            }
        }

        mutating func remove(_ number: Int, of fingerprint: Fingerprint) {
            jobs[fingerprint]?.removeAll { $0.number == number }
            if jobs[fingerprint]?.isEmpty == true { jobs[fingerprint] = nil }
        }
    }

    private let state = Mutex(State())
    private let limit: Int

    /// - Parameter limit: calls that are remembered at most; a client that repeats itself does so within seconds.
    init(limit: Int = 10_000) {
        self.limit = limit
    }

    /// The connection of a call has ended.
    ///
    /// - Parameter window: how long it is remembered.
    func add(_ job: UUIDv7, _ fingerprint: Fingerprint, for window: Duration, now: ContinuousClock.Instant = .now) {
        guard window > .zero else { return }
        state.withLock { state in
            state.lastNumber += 1
            state.jobs[fingerprint, default: []].append((state.lastNumber, job))
            state.entries.append(Entry(number: state.lastNumber, fingerprint: fingerprint, until: now + window))
            state.forget(now: now, keeping: limit)
        }
    }

    /// The job of the newest equal call. It is the repeat's own from now on.
    func take(_ fingerprint: Fingerprint, now: ContinuousClock.Instant = .now) -> UUIDv7? {
        state.withLock { state in
            state.forget(now: now, keeping: limit)
            guard let found = state.jobs[fingerprint]?.last else { return nil }
            state.remove(found.number, of: fingerprint)
            return found.job
        }
    }
}
