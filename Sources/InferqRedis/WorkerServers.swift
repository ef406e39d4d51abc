import InferqCore
import InferqQueue
import Logging
import Synchronization

/// Which model servers of a worker take calls: what the lines of a gateway know of theirs, in a process that has none.
///
/// What changes a gate returns true: then readers and gateways must be told.
final class WorkerServers: Sendable {
    private struct State {
        var servers: [String: Availability] = [:]
        /// Rung at the next answer of a health path.
        var waiters: [String: [Bell]] = [:]
    }

    let looks = Bell()
    private let state: Mutex<State>
    private let logger: Logger
    private let throttle = LogThrottle()

    init(_ models: [ModelSettings], logger: Logger) {
        var state = State()
        for model in models {
            var server = Availability()
            let probe = model.health.isEmpty ? Availability.Probe.connection : .path(model.health)
            server.configure(probe, readyTimeout: model.readyTimeout)
            state.servers[model.name] = server
        }
        self.state = Mutex(state)
        self.logger = logger
    }

    /// How many jobs of a model may be running: all slots, one that probes, or none.
    func slots(of model: ModelSettings) -> Int {
        state.withLock { state in
            guard let server = state.servers[model.name], server.isAway else { return model.concurrency }
            return server.awaitsProbe ? 1 : 0
        }
    }

    func mayTake(_ model: String) -> Bool {
        state.withLock { $0.servers[model]?.gate(now: .now) ?? .open } != .closed
    }

    /// What is known of the servers that are away, by model.
    var away: [String: Availability.Summary] {
        state.withLock { state in
            state.servers.filter(\.value.isAway).mapValues { $0.summary(now: .now) }
        }
    }

    func take(_ job: JobKey, of model: String) -> Availability.Passage {
        state.withLock { $0.servers[model]?.take(job, now: .now) ?? .free }
    }

    func end(_ job: JobKey, of model: String) {
        state.withLock { $0.servers[model]?.end(job) }
    }

    /// What a call has shown, and what is to be told: a refusal that is the job's own doing is a failed attempt.
    func judge(_ reply: Reply, of job: JobKey, _ model: String) -> (reply: Reply, isChanged: Bool) {
        var judged = reply
        let isChanged = change(model) { server, now in
            switch reply {
            case .answered: return server.note(nil, of: job, now: now, wall: .now)
            case .failed(let failure, _, _): return server.note(failure, of: job, now: now, wall: .now)
            case .refused(let refusal):
                let (isCharged, transition) = server.refuse(job, with: refusal, now: now, wall: .now)
                if isCharged { judged = .failed(refusal.failure, retryAfter: refusal.retryAfter) }
                return transition
            }
        }
        return (judged, isChanged)
    }

    func answered(_ job: JobKey, of model: String) -> Bool {
        change(model) { server, now in server.note(nil, of: job, now: now, wall: .now) }
    }

    /// The model server works on a probe.
    func accepted(_ job: JobKey, of model: String) -> Bool {
        change(model) { server, now in server.accept(job, now: now, wall: .now) }
    }

    func note(_ health: Availability.Health, of model: String) -> Bool {
        let isChanged = change(model) { server, now in server.health(health, now: now, wall: .now) }
        for bell in state.withLock({ $0.waiters.removeValue(forKey: model) }) ?? [] { bell.ring(.event) }
        return isChanged
    }

    /// Whether a health path says now that all is well; true without one.
    func isWell(_ model: String) async -> Bool {
        let bell = Bell()
        let isAsked = state.withLock { state in
            guard state.servers[model]?.wantHealth() == true else { return false }
            state.waiters[model, default: []].append(bell)
            return true
        }
        guard isAsked else { return true }
        looks.ring(.event)
        _ = await bell.wait()
        return state.withLock { $0.servers[model]?.state(now: .now) ?? .up } == .up
    }

    func look() -> (asking: [String], next: Availability.Instant?) {
        state.withLock { state in
            let now = ContinuousClock.now
            var asking: [String] = []
            var next: Availability.Instant?
            for model in state.servers.keys {
                // Which gateway has jobs that wait is not known here: as if one had.
                if state.servers[model]?.beginAsking(hasDue: true, now: now) == true { asking.append(model) }
                guard let look = state.servers[model]?.nextLook(hasDue: true, now: now) else { continue }
                next = min(next ?? look, look)
            }
            return (asking, next)
        }
    }

    private func change(
        _ model: String, _ change: (inout Availability, Availability.Instant) -> Availability.Transition?
    ) -> Bool {
        let (transition, isChanged) = state.withLock { state -> (Availability.Transition?, Bool) in
            guard var server = state.servers[model] else { return (nil, false) }
            let now = ContinuousClock.now
            let before = (server.gate(now: now), server.isAway)
            let transition = change(&server, now)
            state.servers[model] = server
            return (transition, before != (server.gate(now: now), server.isAway))
        }
        if let transition { throttle.log(transition, of: model, logger) }
        // A refused probe changes nothing but the moment of the next one.
        looks.ring(.event)
        return isChanged
    }
}
