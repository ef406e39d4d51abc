import Glibc
import InferqCore

/// What threads wait at, for a length of time that no set wall clock changes: `NSCondition` waits for a time of day.
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

    func lock() {
        pthread_mutex_lock(mutex)
    }

    func unlock() {
        pthread_mutex_unlock(mutex)
    }

    func broadcast() {
        pthread_cond_broadcast(condition)
    }

    /// A moment so far from now.
    static func deadline(after duration: Duration) -> timespec {
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

    /// Waits, with the lock held, for a broadcast.
    ///
    /// - Returns: false: the deadline came first.
    func wait(until deadline: timespec) -> Bool {
        var deadline = deadline
        return pthread_cond_timedwait(condition, mutex, &deadline) == 0
    }
}
