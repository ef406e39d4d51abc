import Synchronization

/// Hands out the identifiers of new jobs, strictly growing, whatever the wall clock does.
final class IDGenerator: Sendable {
    private let last: Mutex<Int64>

    /// - Parameter last: the largest key in the store, so that a clock set back cannot reuse one.
    init(after last: JobKey?) {
        self.last = Mutex(last?.value ?? 0)
    }

    /// A new job's `id` and `event_id`: the same time and counter, random bits drawn apart.
    func next(at now: Timestamp) -> (id: UUIDv7, eventID: UUIDv7) {
        let key = last.withLock { last in
            last = max(JobKey.first(at: now).value, last + 1)
            return JobKey(value: last)
        }
        var random = RandomBits()
        return (UUIDv7(key: key, random: random.next()), UUIDv7(key: key, random: random.next()))
    }
}
