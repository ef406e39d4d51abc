package import InferqCore
import Synchronization

/// Who listens to which job: rings their bells after a commit. It keeps no events; listeners read rows.
package final class EventHub: Sendable {
    private struct Listeners {
        var bells: [ObjectIdentifier: Bell] = [:]
        /// Those among them that ring for pieces of the answer, too.
        var outputBells: [ObjectIdentifier: Bell] = [:]
        /// The number of the job's last ring, or that of any job's last one when the first listener came.
        var lastRing: UInt64
        /// Ring when the last listener leaves.
        var quiet: [Bell] = []
    }

    private struct State {
        var listeners: [JobKey: Listeners] = [:]
        var count = 0
        /// Rings are numbered over all jobs, so that no number means two things while listeners come and go.
        var lastRing: UInt64 = 0
        /// Those who listen to all jobs.
        var all: [ObjectIdentifier: Bell] = [:]
        var isStopped = false
    }

    private let state = Mutex(State())

    package init() {}

    /// From now on `bell` rings at each event of the job. Listen first, then read the history.
    ///
    /// - Parameter hearsOutput: whether it rings with ``Bell/Rings/output`` for each piece of the job's answer.
    package func listen(to job: JobKey, _ bell: Bell, hearsOutput: Bool = false) {
        let isStopped = state.withLock { state in
            let first = Listeners(lastRing: state.lastRing)
            if state.listeners[job, default: first].bells.updateValue(bell, forKey: ObjectIdentifier(bell)) == nil {
                state.count += 1
            }
            if hearsOutput { state.listeners[job]?.outputBells[ObjectIdentifier(bell)] = bell }
            return state.isStopped
        }
        if isStopped { bell.ring(.stop) }
    }

    package func leave(_ job: JobKey, _ bell: Bell) {
        let quiet = state.withLock { state -> [Bell] in
            guard state.listeners[job]?.bells.removeValue(forKey: ObjectIdentifier(bell)) != nil else { return [] }
            state.count -= 1
            state.listeners[job]?.outputBells[ObjectIdentifier(bell)] = nil
            guard let left = state.listeners[job], left.bells.isEmpty else { return [] }
            state.listeners[job] = nil
            return left.quiet
        }
        for bell in quiet { bell.ring(.event) }
    }

    /// `bell` rings once, as soon as no one listens to the job.
    package func whenQuiet(_ job: JobKey, ring bell: Bell) {
        let isQuiet = state.withLock { state in
            state.listeners[job]?.quiet.append(bell)
            return state.listeners[job] == nil
        }
        if isQuiet { bell.ring(.event) }
    }

    /// Whether anybody listens to this job.
    package func isHeard(_ job: JobKey) -> Bool {
        state.withLock { $0.listeners[job] != nil }
    }

    /// The number of a job's last ring; of any job's last one, when no one listens to it.
    ///
    /// A read of its events that begins after this call sees all events that this ring and those before it told of, and a
    /// ring with a higher number tells of newer ones.
    package func lastRing(of job: JobKey) -> UInt64 {
        state.withLock { $0.listeners[job]?.lastRing ?? $0.lastRing }
    }

    /// From now on `bell` rings at each event of any job. It costs the listeners of single jobs nothing.
    package func listenToAll(_ bell: Bell) {
        let isStopped = state.withLock { state in
            state.all[ObjectIdentifier(bell)] = bell
            return state.isStopped
        }
        if isStopped { bell.ring(.stop) }
    }

    package func leaveAll(_ bell: Bell) {
        state.withLock { $0.all[ObjectIdentifier(bell)] = nil }
    }

    /// Called after the commit of an event.
    ///
    /// - Parameter isLast: whether the job has ended by it; those who listen to it hear ``Bell/Rings/end`` as well.
    func ring(_ job: JobKey, isLast: Bool = false) {
        let (bells, all) = state.withLock { state in
            state.lastRing += 1
            state.listeners[job]?.lastRing = state.lastRing
            return (state.listeners[job]?.bells, state.all)
        }
        for bell in all.values { bell.ring(.event) }
        guard let bells else { return }
        for bell in bells.values { bell.ring(isLast ? [.event, .end] : .event) }
    }

    /// Called after the commit of a piece of a job's answer.
    func ringOutput(_ job: JobKey) {
        let bells = state.withLock { state -> [ObjectIdentifier: Bell] in
            guard let listeners = state.listeners[job], !listeners.outputBells.isEmpty else { return [:] }
            state.lastRing += 1
            state.listeners[job]?.lastRing = state.lastRing
            return listeners.outputBells
        }
        for bell in bells.values { bell.ring(.output) }
    }

    /// Wakes everyone for the last time: the service is stopping.
    package func stop() {
        let bells = state.withLock { state in
            state.isStopped = true
            return state.listeners.values.flatMap(\.bells.values) + state.all.values
        }
        for bell in bells { bell.ring(.stop) }
    }

    /// How many listen at this moment.
    package var listenerCount: Int { state.withLock { $0.count } }
}

extension EventHub {
    /// No job has it: a listener to it hears only of the stop.
    private static let noJob = JobKey(value: 0)

    /// `bell` rings with ``Bell/Rings/stop`` when the service stops.
    package func listenForStop(_ bell: Bell) {
        listen(to: Self.noJob, bell)
    }

    package func leaveStop(_ bell: Bell) {
        leave(Self.noJob, bell)
    }
}
