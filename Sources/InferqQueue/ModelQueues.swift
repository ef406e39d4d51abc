import InferqCore
import InferqStore

/// The queues of all models, and what one of them must know of the others: the scheduler's memory, under its lock.
struct ModelQueues {
    /// The one suspect that is offered or runs, as far as this process knows: see ``Job/isSuspect``. Whether it really
    /// was alone, its rows tell; this makes sure that it soon is.
    struct Suspect {
        let offer: Offer
        /// Who has taken it: of an offer that was made twice, the one that came too late as well, for a moment.
        var takers = 0
    }

    /// A question for the store.
    struct Reading {
        let model: String
        let owners: DueOwners
        let limit: Int
        fileprivate let round: Int
    }

    var queues: [String: ModelQueue] = [:]
    var suspect: Suspect?
    /// Those who wait for the next word of a model's health path.
    var healthWaiters: [String: [Bell]] = [:]
    private var loads = ClientLoads()
    /// Clients that may have another job, and could not before.
    private var freed: Set<String> = []
    /// Grows when the windows are rebuilt: no one waits for what was asked before that.
    private var round = 0

    mutating func addLine(_ model: String) {
        if queues[model] == nil { queues[model] = ModelQueue(lanes: loads.limits.keys) }
    }

    // MARK: Clients

    /// Sets how many jobs of a client may run.
    mutating func setRunningLimits(_ limits: [String: Int]) {
        let before = Set(loads.limits.keys)
        loads.setLimits(limits)
        guard Set(loads.limits.keys) != before else { return }
        round += 1
        for model in queues.keys { queues[model]?.setLanes(loads.limits.keys) }
    }

    var hasLimits: Bool { !loads.limits.isEmpty }

    /// The clients that get nothing more at this moment.
    var fullClients: Set<String> { loads.full }

    /// Whether a job that was taken may be run: see ``ClientLoads/admits(_:of:)``.
    mutating func admits(_ job: Job) -> Bool {
        loads.admits(job.key, of: job.options.client)
    }

    /// The models that may have something to offer, now that something has happened to one of them.
    ///
    /// A client that may have another job is given its best one, of whichever model, so that none of its models starves.
    mutating func turns(after model: String) -> [String] {
        guard !freed.isEmpty else { return [model] }
        defer { freed = [] }
        return freed.flatMap { client in
            queues.compactMap { name, queue in queue.best(of: client).map { (model: name, candidate: $0) } }
                .sorted { $0.candidate < $1.candidate }.map(\.model)
        } + [model]
    }

    // MARK: Offers

    mutating func take(_ offer: Offer) {
        addLine(offer.model)
        let wasOffered = queues[offer.model]?.take(offer.job) == true
        loads.take(offer.job, wasOffered: wasOffered)
        if suspect?.offer == offer { suspect?.takers += 1 }
    }

    /// Takes up a job that was found at work.
    mutating func take(_ job: Job) {
        addLine(job.model)
        loads.take(job.key, of: job.options.client)
    }

    /// - Returns: false when it was not on offer.
    @discardableResult
    mutating func unoffer(_ offer: Offer) -> Bool {
        guard queues[offer.model]?.offered.remove(offer.job) != nil else { return false }
        if let client = loads.withdraw(offer.job) { freed.insert(client) }
        return true
    }

    /// Takes back what was offered of a model and no one has taken.
    mutating func withdrawAll(of model: String, from broker: any Broker) {
        for job in queues[model]?.offered ?? [] {
            let offer = Offer(model: model, job: job)
            guard broker.withdraw(offer) else { continue }
            unoffer(offer)
            if suspect?.offer == offer { suspect = nil }
        }
        queues[model]?.forget()
    }

    /// - Returns: the models that may have something to offer now.
    mutating func release(_ offer: Offer, wasTaken: Bool) -> [String] {
        if wasTaken, let client = loads.end(offer.job) { freed.insert(client) }
        guard var known = suspect, known.offer == offer else { return [offer.model] }
        if wasTaken {
            // An attempt from before it was offered, as one that a start found at work elsewhere.
            guard known.takers > 0 else { return [offer.model] }
            known.takers -= 1
        }
        suspect = known.takers > 0 ? known : nil
        return suspect == nil ? Array(queues.keys) : [offer.model]
    }

    /// Offers as many jobs of a model as there is room for, the best first.
    ///
    /// - Returns: whether one of its windows is running low, and the store must be read.
    mutating func pump(_ model: String, to broker: any Broker) -> Bool {
        guard let queue = queues[model], queue.isServed else { return false }
        let now = ContinuousClock.now
        var mustRead = false
        while queue.offered.count < queue.room(now: now) {
            if suspect?.offer.model == model { break }
            if queue.mustRead { mustRead = true }
            let next = queue.best(skippingSuspects: suspect != nil, now: now) { loads.isFull($0) }
            guard let best = next, mayOffer(best, of: queue, now: now) else { break }
            let offer = Offer(model: model, job: best.key)
            guard broker.offer(offer) else { break }
            queue.remove(best)
            queue.offered.insert(best.key)
            loads.offer(best.key, of: best.client)
            if best.isSuspect { suspect = Suspect(offer: offer) }
        }
        return mustRead
    }

    /// Whether the best candidate of a queue need not wait; what is worse does not pass it.
    private func mayOffer(_ best: Candidate, of queue: ModelQueue, now: Availability.Instant) -> Bool {
        // A suspect waits until nothing else of its model runs, and nothing passes it meanwhile.
        if best.isSuspect, queue.running + queue.remoteRunning > 0 || !queue.offered.isEmpty { return false }
        // One of a client whose running jobs are limited is not offered ahead: it would take up the client's place, which a
        // free slot of another model may have.
        if let client = best.client, loads.limits[client] != nil { return queue.offered.count < queue.free(now: now) }
        return true
    }

    // MARK: Reading

    /// Begins to read all windows that run low; ``endReading(_:_:)`` follows for each.
    mutating func beginReading() -> [Reading] {
        var readings: [Reading] = []
        for model in queues.keys {
            for (owners, limit) in queues[model]?.beginReading() ?? [] {
                readings.append(Reading(model: model, owners: owners, limit: limit, round: round))
            }
        }
        return readings
    }

    /// - Parameter candidates: nil when reading failed.
    mutating func endReading(_ reading: Reading, _ candidates: [Candidate]?) {
        guard reading.round == round else { return }
        let isAll = (candidates?.count ?? 0) < reading.limit
        queues[reading.model]?.fill(reading.owners, candidates, isAll: isAll)
    }

    // MARK: Model servers

    /// - Returns: the models whose health path must be asked now, and when to look again.
    mutating func look(now: Availability.Instant) -> (asking: [String], next: Availability.Instant?) {
        var asking: [String] = []
        var next: Availability.Instant?
        for (model, queue) in queues where queue.isServed {
            let hasDue = queue.mayHaveDue
            if queues[model]?.server.beginAsking(hasDue: hasDue, now: now) == true { asking.append(model) }
            guard let look = queues[model]?.server.nextLook(hasDue: hasDue, now: now) else { continue }
            next = min(next ?? look, look)
        }
        return (asking, next)
    }
}
