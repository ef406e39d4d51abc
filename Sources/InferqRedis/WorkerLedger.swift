import InferqCore
import InferqQueue
import Synchronization

/// What was read of a stream and given to a slot.
struct Delivery: Sendable {
    let offer: JobOffer
    let gateway: String
    let entry: String
    /// Its model server was away: this call shows whether it is back.
    let isProbe: Bool

    var name: AttemptName { AttemptName(gateway: gateway, job: offer.job, lease: offer.lease) }
}

/// One slot that waits for a job, or for the answer to its question.
final class WorkerSlot: Sendable {
    let bell = Bell()
    private let delivered = Mutex<Delivery?>(nil)

    var delivery: Delivery? { delivered.withLock { $0 } }

    func give(_ delivery: Delivery) {
        delivered.withLock { $0 = delivery }
        bell.ring(.event)
    }
}

/// What a worker knows of its gateways, of its slots that wait, and of the attempts that are its own.
final class WorkerLedger: Sendable {
    private struct Held {
        enum Phase {
            case asking(WorkerSlot)
            case running
            /// With the moment at which it was last told.
            case ended(WorkerMessage, sent: ContinuousClock.Instant)
        }

        var phase: Phase
        let model: String
        let stop: StopSignal

        var isRunning: Bool { if case .running = phase { true } else { false } }
        var isAsking: Bool { if case .asking = phase { true } else { false } }
        var hasEnded: Bool { if case .ended = phase { true } else { false } }
    }

    private struct State {
        /// Models of each gateway that lives, by its instance id.
        var gateways: [String: Set<String>] = [:]
        /// Slots that wait, by model.
        var idle: [String: [WorkerSlot]] = [:]
        var held: [AttemptName: Held] = [:]
        /// Where the next look for a job of a model begins, so that all gateways are served alike.
        var nextGateway: [String: Int] = [:]
        var isDraining = false
        /// The number of the last heartbeat.
        var beat = 0
        /// Since when no gateway has offered anything that this worker could do; nil: one does.
        var unmatchedSince: ContinuousClock.Instant?
        /// Attempts are told to stop as soon as they begin.
        var isInterrupting = false
        /// A model server has gone or come back since the last heartbeat.
        var hasNews = false
    }

    private let state = Mutex(State())
    /// Woken when a reader may have something to ask for, or nothing any longer: a slot waits, a gateway is seen, a model server has
    /// gone or is back, the worker drains.
    private let readers = MonotonicCondition()

    /// An outcome whose receipt has not come is told again.
    private static let resendAfter = Duration.seconds(5)

    // MARK: Gateways

    /// Redis is there: every outcome is told again, as soon as its gateway is seen.
    func connected() {
        state.withLock { state in
            for (name, held) in state.held {
                guard case .ended(let message, _) = held.phase else { continue }
                state.held[name]?.phase = .ended(message, sent: .now - Self.resendAfter * 2)
            }
            state.unmatchedSince = .now
        }
    }

    /// Redis has gone away, and with it every gateway.
    func disconnected() {
        state.withLock { state in
            state.gateways = [:]
            state.unmatchedSince = nil
        }
    }

    /// - Parameters:
    ///   - gateways: those that live and whose jobs may be taken, with their models.
    ///   - own: the models of this worker.
    /// - Returns: for how long none of them has had a model of this worker; nil: one has.
    func saw(_ gateways: [String: Set<String>], own: Set<String>) -> Duration? {
        defer { readers.wake() }
        return state.withLock { state in
            state.gateways = gateways
            guard gateways.values.allSatisfy(own.isDisjoint) else {
                state.unmatchedSince = nil
                return nil
            }
            let since = state.unmatchedSince ?? .now
            state.unmatchedSince = since
            return .now - since
        }
    }

    /// Their streams are missing, as after a gateway's end.
    func lost(_ gateways: [String]) {
        state.withLock { state in for gateway in gateways { state.gateways[gateway] = nil } }
    }

    // MARK: Slots

    /// Lets a slot wait for a job of a model.
    ///
    /// - Returns: false when none is taken any longer.
    func enter(_ slot: WorkerSlot, for model: String) -> Bool {
        let waits = state.withLock { state in
            if !state.isDraining { state.idle[model, default: []].append(slot) }
            return !state.isDraining
        }
        if waits { readers.wake() }
        return waits
    }

    /// - Returns: whether the slot still waited.
    func leave(_ slot: WorkerSlot, of model: String) -> Bool {
        state.withLock { state in
            guard let index = state.idle[model]?.firstIndex(where: { $0 === slot }) else { return false }
            state.idle[model]?.remove(at: index)
            return true
        }
    }

    /// A slot that waits for a job of the model, which then does so no longer.
    func takeSlot(of model: String) -> WorkerSlot? {
        state.withLock { state in
            state.isDraining || state.idle[model]?.isEmpty != false ? nil : state.idle[model]?.removeFirst()
        }
    }

    /// Waits on the calling thread until a slot waits for jobs of a model that a gateway has.
    ///
    /// - Parameter mayTake: whether the model server takes calls; asked again at each wake-up.
    /// - Returns: those gateways, the one whose turn it is first; empty after `patience` without.
    func wanted(_ model: String, patience: Duration, mayTake: () -> Bool) -> [String] {
        readers.wait(atMost: patience) { () -> [String]? in
            guard mayTake() else { return nil }
            return state.withLock { state in
                guard !state.isDraining, state.idle[model]?.isEmpty == false else { return nil }
                let gateways = state.gateways.filter { $0.value.contains(model) }.keys.sorted()
                guard !gateways.isEmpty else { return nil }
                let first = state.nextGateway[model, default: 0] % gateways.count
                state.nextGateway[model] = first + 1
                return Array(gateways[first...] + gateways[..<first])
            }
        } ?? []
    }

    /// A model server has gone or come back: the next heartbeat says so, and gateways are asked to read it.
    func serversChanged() {
        state.withLock { $0.hasNews = true }
        readers.wake()
    }

    // MARK: Attempts

    /// - Parameter slot: is rung when the gateway has answered.
    /// - Returns: what may stop the attempt; nil: it is held already.
    func ask(_ name: AttemptName, of model: String, _ slot: WorkerSlot) -> StopSignal? {
        state.withLock { state in
            guard state.held[name] == nil else { return nil }
            let stop = StopSignal()
            state.held[name] = Held(phase: .asking(slot), model: model, stop: stop)
            return stop
        }
    }

    /// Ends the question for an attempt.
    ///
    /// - Returns: whether it is this worker's; else it is forgotten.
    func settle(_ name: AttemptName) -> Bool {
        state.withLock { state in
            if state.held[name]?.isRunning == true { return true }
            state.held[name] = nil
            return false
        }
    }

    func end(_ name: AttemptName, _ message: WorkerMessage) {
        state.withLock { $0.held[name]?.phase = .ended(message, sent: .now) }
    }

    func forget(_ name: AttemptName) {
        state.withLock { $0.held[name] = nil }
    }

    /// What a gateway says of an attempt; a word that does not fit its phase is late, and says nothing.
    func receive(_ message: GatewayMessage, _ name: AttemptName) {
        var ring: Bell?
        var reason = StopSignal.Reason.cancelled
        let stop = state.withLock { state -> StopSignal? in
            guard let held = state.held[name] else { return nil }
            switch (message, held.phase) {
            case (.go, .asking(let slot)):
                state.held[name]?.phase = .running
                ring = slot.bell
                guard state.isInterrupting else { return nil }
                reason = .serviceStops
                return held.stop
            case (.no, .asking(let slot)), (.stop, .asking(let slot)):
                state.held[name] = nil
                ring = slot.bell
            case (.stop, .running): return held.stop
            case (.stop, .ended), (.done, _): state.held[name] = nil
            case (.go, _), (.no, _): break
            }
            return nil
        }
        stop?.stop(reason)
        ring?.ring(.event)
    }

    /// Outcomes whose receipts are late; they count as told now.
    func lateOutcomes(now: ContinuousClock.Instant = .now) -> [(AttemptName, WorkerMessage)] {
        state.withLock { state in
            state.held.compactMap { name, held in
                // A gateway that is away finds in Redis what it was sent: it need not be told more than once.
                guard case .ended(let message, let sent) = held.phase, now - sent > Self.resendAfter,
                    state.gateways[name.gateway] != nil
                else { return nil }
                state.held[name]?.phase = .ended(message, sent: now)
                return (name, message)
            }
        }
    }

    // MARK: The stop

    var isDraining: Bool { state.withLock { $0.isDraining } }
    var runningCount: Int { state.withLock { $0.held.values.count { $0.isRunning } } }
    /// Attempts that are asked for, run, or have outcomes that no gateway has received.
    var heldCount: Int { state.withLock { $0.held.count } }
    /// Nothing runs, and no slot has asked for a job.
    var isIdle: Bool { state.withLock { $0.held.values.allSatisfy(\.hasEnded) } }

    /// No more jobs are taken from now on; slots that wait are told so.
    func drain() {
        let idle = state.withLock { state in
            state.isDraining = true
            return state.idle.values.flatMap { $0 }
        }
        for slot in idle { slot.bell.ring(.stop) }
        readers.wake()
    }

    /// Stops the attempts that run, and those that begin from now on.
    func interrupt() {
        let running = state.withLock { state in
            state.isInterrupting = true
            return state.held.values.filter(\.isRunning).map(\.stop)
        }
        for stop in running { stop.stop(.serviceStops) }
    }

    // MARK: Heartbeats

    /// What one heartbeat says of this ledger.
    struct Beat {
        let number: Int
        /// Attempts that are its own.
        let attempts: [AttemptName]
        /// How many run, by model.
        let busy: [String: Int]
        let isDraining: Bool
        /// Gateways that are to be asked to read it.
        let informed: [String]
    }

    func beat() -> Beat {
        state.withLock { state in
            state.beat += 1
            defer { state.hasNews = false }
            let running = state.held.values.filter(\.isRunning)
            return Beat(
                number: state.beat, attempts: state.held.filter { !$0.value.isAsking }.map(\.key),
                busy: Dictionary(running.map { ($0.model, 1) }, uniquingKeysWith: +), isDraining: state.isDraining,
                informed: state.hasNews ? Array(state.gateways.keys) : [])
        }
    }
}
