import InferqCore

/// The lines of all models, and what one of them must know of the others: the scheduler's memory, under its lock.
struct Lines {
    /// The one suspect that is offered or runs, as far as this process knows: see ``Job/isSuspect``. Whether it really
    /// was alone, its rows tell; this makes sure that it soon is.
    struct Suspect {
        let offer: Offer
        /// Who has taken it: of an offer that was made twice, the one that came too late as well, for a moment.
        var takers = 0
    }

    var lines: [String: Line] = [:]
    var suspect: Suspect?
    /// Those who wait for the next word of a model's health path.
    var healthWaiters: [String: [Bell]] = [:]

    mutating func take(_ offer: Offer) {
        lines[offer.model, default: Line()].offered.remove(offer.job)
        if suspect?.offer == offer { suspect?.takers += 1 }
    }

    /// Takes back what was offered of a model and nobody has taken.
    mutating func withdrawAll(of model: String, from broker: any Broker) {
        for job in lines[model]?.offered ?? [] {
            let offer = Offer(model: model, job: job)
            guard broker.withdraw(offer) else { continue }
            lines[model]?.offered.remove(job)
            if suspect?.offer == offer { suspect = nil }
        }
        lines[model]?.forget()
    }

    /// - Returns: the models that may have something to offer now.
    mutating func release(_ offer: Offer, wasTaken: Bool) -> [String] {
        guard var known = suspect, known.offer == offer else { return [offer.model] }
        if wasTaken {
            // An attempt from before it was offered, as one that a start found at work elsewhere.
            guard known.takers > 0 else { return [offer.model] }
            known.takers -= 1
        }
        suspect = known.takers > 0 ? known : nil
        return suspect == nil ? Array(lines.keys) : [offer.model]
    }

    /// Offers as many jobs of a model as there is room for, the best first.
    ///
    /// - Returns: whether its window is running low, and the store must be read.
    mutating func pump(_ model: String, to broker: any Broker) -> Bool {
        guard var line = lines[model], line.isServed else { return false }
        defer { lines[model] = line }
        let now = ContinuousClock.now
        var mustRead = false
        while line.offered.count < line.room(now: now) {
            if suspect?.offer.model == model { break }
            if line.mustRead { mustRead = true }
            guard let best = line.best(skippingSuspects: suspect != nil, now: now) else { break }
            // A suspect waits until nothing else of its model runs, and nothing passes it meanwhile.
            if best.isSuspect, line.running + line.remoteRunning > 0 || !line.offered.isEmpty { break }
            let offer = Offer(model: model, job: best.key)
            guard broker.offer(offer) else { break }
            line.remove(best)
            line.offered.insert(best.key)
            if best.isSuspect { suspect = Suspect(offer: offer) }
        }
        return mustRead
    }

    /// - Returns: the models whose health path must be asked now, and when to look again.
    mutating func look(now: Availability.Instant) -> (asking: [String], next: Availability.Instant?) {
        var asking: [String] = []
        var next: Availability.Instant?
        for (model, line) in lines where line.isServed {
            let hasDue = line.mayHaveDue
            if lines[model]?.server.beginAsking(hasDue: hasDue, now: now) == true { asking.append(model) }
            guard let look = lines[model]?.server.nextLook(hasDue: hasDue, now: now) else { continue }
            next = min(next ?? look, look)
        }
        return (asking, next)
    }
}
