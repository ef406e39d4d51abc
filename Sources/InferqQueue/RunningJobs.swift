import InferqCore
import Synchronization

/// The attempts that run, by job: whom to tell to stop, and how many of them are this process's own.
final class RunningJobs: Sendable {
    struct Attempt: Sendable {
        let lease: Job.Lease
        let stop: StopSignal
        /// In this process.
        let isHere: Bool
    }

    private struct State {
        var attempts: [JobKey: Attempt] = [:]
        /// How many of them run in this process.
        var hereCount = 0
        /// Offers that a worker has taken and not yet claimed.
        var taking = 0
        /// Attempts are told to stop as soon as they begin: the service must go.
        var isInterrupting = false
        /// Rung once nothing runs any more.
        var idle: Bell?

        var isIdle: Bool { hereCount == 0 && taking == 0 }

        mutating func remove(_ job: JobKey) {
            if attempts.removeValue(forKey: job)?.isHere == true { hereCount -= 1 }
        }
    }

    private let state = Mutex(State())

    /// Attempts that run in this process at this moment.
    var hereCount: Int { state.withLock { $0.hereCount } }

    /// Whether what still runs is being cut short, since the service must go.
    var isInterrupting: Bool { state.withLock { $0.isInterrupting } }

    /// An offer was taken, and may become an attempt; ``endTaking()`` follows.
    func beginTaking() {
        state.withLock { $0.taking += 1 }
    }

    func endTaking() {
        let idle = state.withLock { state -> Bell? in
            state.taking -= 1
            return state.isIdle ? state.idle : nil
        }
        idle?.ring(.event)
    }

    /// An attempt has begun, in place of one that is over. It is told to stop at once if the service must go.
    func begin(_ attempt: Attempt, of job: JobKey) {
        let mustStop = state.withLock { state in
            state.remove(job)
            state.attempts[job] = attempt
            if attempt.isHere { state.hereCount += 1 }
            return state.isInterrupting && attempt.isHere
        }
        if mustStop { attempt.stop.stop(.serviceStops) }
    }

    /// The attempt is over; it is no longer told to stop.
    func end(_ claim: Claim) {
        let idle = state.withLock { state -> Bell? in
            if state.attempts[claim.job.key]?.lease == claim.lease { state.remove(claim.job.key) }
            return state.isIdle ? state.idle : nil
        }
        idle?.ring(.event)
    }

    func cancel(_ job: JobKey) {
        state.withLock { $0.attempts[job]?.stop }?.stop(.cancelled)
    }

    /// Rings `bell` once no attempt runs in this process: at once, or when the last one has ended.
    func ringWhenIdle(_ bell: Bell) {
        let isIdle = state.withLock { state in
            state.idle = bell
            return state.isIdle
        }
        if isIdle { bell.ring(.event) }
    }

    /// Tells all attempts of this process to stop, and those that are just beginning; their workers put them back.
    func interruptAll() {
        let signals = state.withLock { state in
            state.isInterrupting = true
            return state.attempts.values.filter(\.isHere).map(\.stop)
        }
        for signal in signals { signal.stop(.serviceStops) }
    }
}
