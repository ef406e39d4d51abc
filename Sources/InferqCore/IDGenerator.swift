import Synchronization

/// Hands out the identifiers of new jobs, strictly growing, whatever the wall clock does.
final class IDGenerator: Sendable {
    private let last: Mutex<Int64>
    private let tag: UInt16

    /// - Parameters:
    ///   - last: the largest key in the store, so that a clock set back cannot reuse one.
    ///   - tag: of the store: see ``UUIDv7/tag``.
    init(after last: JobKey?, tag: UInt16) {
        self.last = Mutex(last?.value ?? 0)
        self.tag = tag
    }

    /// A new job's `id` and `event_id`: the same time, counter and tag, random bits drawn apart.
    func next(at now: Timestamp) -> (id: UUIDv7, eventID: UUIDv7) {
        let key = last.withLock { last in
            last = max(JobKey.first(at: now).value, last + 1)
            return JobKey(value: last)
        }
        var random = RandomBits()
        return (
            UUIDv7(key: key, tag: tag, random: random.next()), UUIDv7(key: key, tag: tag, random: random.next())
        )
    }
}
