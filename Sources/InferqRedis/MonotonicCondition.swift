import Glibc

/// Where threads wait until another one has something for them, as tasks wait at a ``Bell``. The time is measured on a clock
/// that no one can set: `NSCondition` waits for a time of day.
final class MonotonicCondition: @unchecked Sendable {  // proof: its two C objects never move, and are made for threads
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>

    init() {
        mutex = .allocate(capacity: 1)
        condition = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        let code = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        precondition(code == 0, "every Linux has a monotonic clock")
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Lets all who wait look again.
    func wake() {
        pthread_mutex_lock(mutex)
        pthread_cond_broadcast(condition)
        pthread_mutex_unlock(mutex)
    }

    /// Waits on the calling thread until there is something: looks at once, and at each ``wake()``.
    ///
    /// - Returns: nil when there was nothing for that long.
    func wait<Found>(atMost duration: Duration, until look: () -> Found?) -> Found? {
        var deadline = Self.deadline(after: duration)
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while true {
            if let found = look() { return found }
            guard pthread_cond_timedwait(condition, mutex, &deadline) == 0 else { return look() }
        }
    }

    private static func deadline(after duration: Duration) -> timespec {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        let milliseconds = max(duration.milliseconds, 0)
        time.tv_sec += Int(milliseconds / 1000)
        time.tv_nsec += Int(milliseconds % 1000) * 1_000_000
        if time.tv_nsec >= 1_000_000_000 {
            time.tv_sec += 1
            time.tv_nsec -= 1_000_000_000
        }
        return time
    }
}
