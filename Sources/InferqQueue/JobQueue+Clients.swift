package import InferqCore

/// Whose jobs are whose.
extension JobQueue {

    /// Pending and running jobs of each client that has some, over all models. "anonymous" has those of before there were
    /// clients as well.
    package func clientFigures() -> [String: ClientFigures] {
        backlog.clientFigures()
    }

    /// Sets how many jobs of a client may run at a time, over all models, from now on; those that run go on.
    ///
    /// - Parameter limits: by the name of the client; 0, or one that is not named: any number.
    package func setRunningLimits(_ limits: [String: Int]) {
        scheduler.setRunningLimits(limits)
    }

    /// How many jobs are taken before this pending one; an estimate past a thousand.
    ///
    /// - Parameter caller: who asks; of one who sees only its own jobs, those of others do not count.
    package func ahead(of job: Job, for caller: Caller = .anonymous) async throws -> Int {
        let counts = backlog.due(of: job.model, priority: job.options.priority, client: caller.view)
        let limit = 1000
        let older = try await store.older(than: job, of: caller.view, limit: limit)
        return counts.higher + (older ?? max(limit, counts.same / 2))
    }

    /// How many jobs are taken before one that was stored this moment: from counters alone.
    ///
    /// - Parameter caller: as of ``ahead(of:for:)``.
    package func aheadOfNewest(_ job: Job, for caller: Caller = .anonymous) -> Int {
        let counts = backlog.due(of: job.model, priority: job.options.priority, client: caller.view)
        return counts.higher + max(counts.same - 1, 0)
    }

    /// Pending and running jobs of a model, and how many end a second.
    ///
    /// - Parameter caller: as of ``ahead(of:for:)``.
    package func depth(
        of model: String, for caller: Caller = .anonymous
    ) -> (pending: Int, running: Int, rate: Double) {
        let figures = backlog.figures(of: model, client: caller.view, now: .now)
        return (figures.pending, figures.running, figures.rate)
    }

    /// What became of a model's jobs in the last hour, minute by minute, the oldest first.
    ///
    /// - Parameter caller: as of ``ahead(of:for:)``.
    package func lastHour(of model: String, for caller: Caller = .anonymous) -> [LastHour.Minute] {
        backlog.lastHour(of: model, client: caller.view, now: .now)
    }

    /// Jobs of a model that ended per second, averaged over about the last half minute.
    ///
    /// - Parameter caller: as of ``ahead(of:for:)``.
    package func rate(of model: String, for caller: Caller = .anonymous) -> Double {
        depth(of: model, for: caller).rate
    }
}
