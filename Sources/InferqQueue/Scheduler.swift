package import InferqCore
import InferqStore
import Logging
import ServiceLifecycle
import Synchronization

/// Decides which job goes to the broker next: per model by priority, then age, at most the free slots plus one. The jobs of
/// a client that has as many running as it may are passed by.
///
/// The queue itself is the store's index. In memory there is, per model, a window of the best candidates; what is
/// worse than the window's end is read again when the window has run empty. A candidate is a hint: the claim decides.
package final class Scheduler: Service {
    /// Reads the best due jobs of a model from the store.
    typealias Read = @Sendable (_ model: String, _ owners: DueOwners, _ limit: Int) async throws -> [Candidate]

    private let state = Mutex(ModelQueues())
    private let broker: any Broker
    private let read: Read
    private let reads = Bell()
    /// Whether a client has a limit of running jobs.
    private let hasLimits = Atomic<Bool>(false)
    /// Rings when the moment of the next look at a model server may have changed.
    package let looks = Bell()
    private let logger = Logger(label: "inferq")
    private let throttle = LogThrottle()

    /// After a read that failed: soon enough for a store that is well again, and seldom enough for one that is not.
    private static let pauseAfterFailure = Duration.milliseconds(250)

    init(broker: any Broker, read: @escaping Read) {
        self.broker = broker
        self.read = read
    }

    // MARK: What happens

    /// Sets the models that are served. One that is not named gets no more offers.
    func configure(_ models: [ModelSettings]) {
        let waiting = state.withLock { state in
            let names = Set(models.map(\.name))
            for model in state.queues.keys where !names.contains(model) {
                state.queues[model]?.concurrency = 0
                state.queues[model]?.remoteSlots = 0
                state.queues[model]?.server.configure(.job, readyTimeout: .zero)
            }
            for model in models {
                state.addLine(model.name)
                state.queues[model.name]?.concurrency = model.slots
                state.queues[model.name]?.server.configure(
                    model.slots > 0 && !model.health.isEmpty ? .path(model.health) : .job,
                    readyTimeout: model.readyTimeout
                )
            }
            for model in models { pump(model.name, &state) }
            return Array(state.healthWaiters.keys)
        }
        // Their path may be another one now.
        for model in waiting { wakeHealthWaiters(model) }
        looks.ring(.event)
    }

    func setPaused(_ isPaused: Bool, _ model: String) {
        state.withLock { state in
            state.addLine(model)
            state.queues[model]?.isPaused = isPaused
            // What was offered before the pause was given up when a worker took it.
            if !isPaused { state.queues[model]?.forget() }
            pump(model, &state)
        }
        // While it is paused, no one asks how its server is.
        if isPaused { wakeHealthWaiters(model) } else { looks.ring(.event) }
    }

    func isPaused(_ model: String) -> Bool {
        state.withLock { $0.queues[model]?.isPaused ?? false }
    }

    /// Sets how many jobs of a client may run, over all models; one that is not named may have any number.
    func setRunningLimits(_ limits: [String: Int]) {
        state.withLock { state in
            state.setRunningLimits(limits)
            hasLimits.store(state.hasLimits, ordering: .releasing)
            for model in state.queues.keys { pump(model, &state) }
        }
    }

    /// Whether a job that was taken may be run. Where its client has as many running as it may, it must wait for its turn.
    func admits(_ job: Job) -> Bool {
        guard hasLimits.load(ordering: .acquiring) else { return true }
        return state.withLock { $0.admits(job) }
    }

    /// Jobs of a model have become due. Called after the commit that made them so.
    func becameDue(_ candidates: [Candidate], of model: String) {
        let isAway = state.withLock { state in
            guard let queue = state.queues[model] else { return false }
            for candidate in candidates { queue.insert(candidate) }
            pump(model, &state)
            return queue.server.isAway
        }
        if isAway { looks.ring(.event) }
    }

    /// A slot has taken an offer, here or on another host: it is held until ``ended(_:at:)`` or ``returned(_:at:)``.
    ///
    /// - Returns: what the model server of this process has to do with the call; nothing if it is made on another host.
    @discardableResult
    func taken(_ offer: Offer, at place: AttemptPlace = .local) -> Availability.Passage {
        state.withLock { state in
            state.take(offer)
            state.queues[offer.model]?.begin(at: place)
            var passage: Availability.Passage?
            if place.isLocal {
                // A reload may have removed the model since the offer: then its job waits.
                let isRemoved = state.queues[offer.model]?.concurrency == 0
                passage = isRemoved ? .held : state.queues[offer.model]?.server.take(offer.job, now: .now)
            }
            // A broker that had no room for the next one may have it now.
            pump(offer.model, &state)
            return passage ?? .free
        }
    }

    /// Takes up an attempt that was found at work on another host.
    func takeUp(_ job: Job, at place: AttemptPlace) {
        state.withLock { state in
            state.take(job)
            state.queues[job.model]?.begin(at: place)
        }
    }

    /// The slot is free again, whatever became of the job.
    func ended(_ offer: Offer, at place: AttemptPlace = .local) {
        end(offer, at: place, isStillDue: false)
    }

    /// A taken offer was not claimed: its job may be due as before.
    func returned(_ offer: Offer, at place: AttemptPlace = .local) {
        end(offer, at: place, isStillDue: true)
    }

    private func end(_ offer: Offer, at place: AttemptPlace, isStillDue: Bool) {
        let isAway = state.withLock { state in
            state.queues[offer.model]?.end(at: place)
            if place.isLocal { state.queues[offer.model]?.server.end(offer.job) }
            if isStillDue { state.queues[offer.model]?.forget() }
            for model in state.release(offer, wasTaken: true) { pump(model, &state) }
            return place.isLocal && state.queues[offer.model]?.server.isAway == true
        }
        if isAway { looks.ring(.event) }
    }

    /// Attempts of a model that may run at a time, at workers on other hosts too.
    func slots(of model: String) -> Int {
        state.withLock { $0.queues[model].map { $0.concurrency + $0.remoteSlots } ?? 0 }
    }

    /// Attempts of a model that run in this process at this moment.
    func running(_ model: String) -> Int {
        state.withLock { $0.queues[model]?.running ?? 0 }
    }

    /// No one will take this offer: its job has ended.
    func withdrawn(_ offer: Offer) {
        state.withLock { state in
            state.unoffer(offer)
            for model in state.release(offer, wasTaken: false) { pump(model, &state) }
        }
    }

    /// Looks again at one model, after an error.
    func askAgain(_ model: String) {
        state.withLock { state in
            state.queues[model]?.forget()
            pump(model, &state)
        }
    }

    /// Looks again at all models, now and then: whatever went wrong, no due job waits beside a free slot for long.
    ///
    /// - Parameter hasDue: whether a model has due jobs beside those of some clients, as far as is counted.
    func askAgain(where hasDue: (_ model: String, _ clients: Set<String>) -> Bool) {
        state.withLock { state in
            let full = state.fullClients
            for (name, queue) in state.queues {
                if queue.offered.isEmpty, queue.hasFree, hasDue(name, full) { state.queues[name]?.forget() }
                pump(name, &state)
            }
        }
    }

    // MARK: Model servers

    /// What a call has shown of its model server, and what is to be stored: a refusal that is the job's own doing is a
    /// failed attempt.
    func judge(_ outcome: Outcome, of offer: Offer, wall: Timestamp = .now) -> Outcome {
        change(offer.model) { server, now in
            switch outcome {
            case .answered: return (outcome, server.note(nil, of: offer.job, now: now, wall: wall))
            case .failed(let failure, _, _): return (outcome, server.note(failure, of: offer.job, now: now, wall: wall))
            case .refused(let refusal):
                let (isCharged, transition) = server.refuse(offer.job, with: refusal, now: now, wall: wall)
                return (isCharged ? .failed(refusal.failure, retryAfter: refusal.retryAfter) : outcome, transition)
            }
        } ?? outcome
    }

    /// No connection could be made for a probe: its job was not claimed.
    func unreached(_ offer: Offer, _ refusal: Refusal, wall: Timestamp = .now) {
        change(offer.model) { server, now in
            ((), server.refuse(offer.job, with: refusal, now: now, wall: wall).transition)
        }
        returned(offer)
    }

    /// The model server works on a probe's call: the queue moves on.
    func accepted(_ offer: Offer, wall: Timestamp = .now) {
        change(offer.model) { server, now in ((), server.accept(offer.job, now: now, wall: wall)) }
    }

    /// What a health path has answered.
    package func note(_ health: Availability.Health, of model: String, wall: Timestamp = .now) {
        change(model) { server, now in ((), server.health(health, now: now, wall: wall)) }
        wakeHealthWaiters(model)
        looks.ring(.event)
    }

    /// Whether a model's health path says now that all is well; true without one, and while it is paused.
    func isWell(_ model: String) async -> Bool {
        let bell = Bell()
        let isAsked = state.withLock { state in
            // One that is paused is not asked.
            guard let queue = state.queues[model], queue.isServed, queue.server.wantHealth() else { return false }
            state.healthWaiters[model, default: []].append(bell)
            return true
        }
        guard isAsked else { return true }
        looks.ring(.event)
        _ = await bell.wait()
        return server(of: model).state == .up || isPaused(model)
    }

    private func wakeHealthWaiters(_ model: String) {
        for bell in state.withLock({ $0.healthWaiters.removeValue(forKey: model) }) ?? [] { bell.ring(.event) }
    }

    /// How a model's servers are; up without an opinion.
    package func server(of model: String) -> Availability.Summary {
        state.withLock { $0.queues[model]?.summary(now: .now) } ?? Availability().summary(now: .now)
    }

    /// How many more jobs of a model this process may take at this moment.
    func room(for model: String) -> Int {
        state.withLock { $0.queues[model]?.roomHere(now: .now) } ?? 0
    }

    /// Offers the probes that are due.
    ///
    /// - Returns: the models whose health path must be asked now, and when to look again; nil: not before ``looks`` rings.
    package func look() -> (asking: [String], next: Availability.Instant?) {
        state.withLock { state in
            for model in state.queues.keys { pump(model, &state) }
            return state.look(now: .now)
        }
    }

    /// Changes what is known of a model server, offers what may be taken now, and says what has turned.
    @discardableResult
    private func change<Value>(
        _ model: String, _ change: (inout Availability, Availability.Instant) -> (Value, Availability.Transition?)
    ) -> Value? {
        let (value, transition) = state.withLock { state -> (Value?, Availability.Transition?) in
            guard let queue = state.queues[model] else { return (nil, nil) }
            let now = ContinuousClock.now
            let before = queue.server.gate(now: now)
            let (value, transition) = change(&queue.server, now)
            guard queue.server.gate(now: now) != before else { return (value, transition) }
            if before == .open, queue.remoteSlots == 0 {
                // What comes back goes to its place before what was offered after it.
                state.withdrawAll(of: model, from: broker)
            }
            pump(model, &state)
            return (value, transition)
        }
        if let transition {
            throttle.log(transition, of: model, logger)
            looks.ring(.event)
        }
        return value
    }

    // MARK: Other hosts

    /// The broker no longer carries these offers: what is still due is offered again.
    func lost(_ loss: BrokerLoss) {
        switch loss {
        case .all: offerAllAgain()
        case .offers(let offers): offerAgain(offers)
        case .unwanted(let offer): withdrawn(offer)
        }
    }

    /// Sets how many slots workers on other hosts have for each model, those not counted whose model server is away; a
    /// model that is not named has none there.
    ///
    /// - Parameter away: what such a worker says of its model server, by model.
    package func setRemoteSlots(_ slots: [String: Int], away: [String: Availability.Summary] = [:]) {
        state.withLock { state in
            for (model, queue) in state.queues {
                state.queues[model]?.remoteAway = away[model]
                guard queue.remoteSlots != slots[model, default: 0] else { continue }
                state.queues[model]?.remoteSlots = slots[model, default: 0]
                if slots[model, default: 0] == 0 { state.withdrawAll(of: model, from: broker) }
                pump(model, &state)
            }
        }
    }

    /// A worker on another host could not call its model server: its job goes before what was offered after it.
    func offerAnew(_ model: String) {
        state.withLock { state in
            state.withdrawAll(of: model, from: broker)
            pump(model, &state)
        }
    }

    /// What was offered may have been lost on its way: it is offered again.
    package func offerAgain(_ offers: [Offer]) {
        state.withLock { state in
            for offer in offers where state.unoffer(offer) {
                if state.suspect?.offer == offer { state.suspect = nil }
                state.queues[offer.model]?.forget()
            }
            for model in Set(offers.map(\.model)) { pump(model, &state) }
        }
    }

    /// As ``offerAgain(_:)``, for all that no one has taken.
    private func offerAllAgain() {
        state.withLock { state in
            if state.suspect?.takers == 0 { state.suspect = nil }
            for model in state.queues.keys {
                for job in state.queues[model]?.offered ?? [] { state.unoffer(Offer(model: model, job: job)) }
                state.queues[model]?.forget()
            }
            for model in state.queues.keys { pump(model, &state) }
        }
    }

    // MARK: Offering

    private func pump(_ model: String, _ state: inout ModelQueues) {
        for model in state.turns(after: model) where state.pump(model, to: broker) { reads.ring(.event) }
    }

    // MARK: Reading

    /// Fills windows that have run empty. Ends on graceful shutdown.
    package func run() async throws {
        await reads.whileRunning {
            _ = await reads.wait()
            if await !fillWindows() { await pause() }
        }
    }

    /// - Returns: false when a read failed; it is asked for again.
    private func fillWindows() async -> Bool {
        var isWell = true
        for reading in state.withLock({ $0.beginReading() }) {
            var candidates: [Candidate]?
            do {
                candidates = try await read(reading.model, reading.owners, reading.limit)
            } catch {
                isWell = false
                throttle.log(
                    logger, .error, "waiting jobs could not be checked", of: reading.model,
                    metadata: ["model": "\(reading.model)", "error": "\(error)"]
                )
            }
            state.withLock { state in
                state.endReading(reading, candidates)
                pump(reading.model, &state)
            }
        }
        return isWell
    }

    private func pause() async {
        do {
            try await cancelWhenGracefulShutdown { try await Task.sleep(for: Self.pauseAfterFailure) }
        } catch {
            // The service ends.
        }
    }
}
