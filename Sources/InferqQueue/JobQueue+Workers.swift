package import InferqCore

/// What workers take and bring back.
extension JobQueue {
    /// Looks again at what is due: now and then, in case something was missed.
    func askAgain() {
        scheduler.askAgain { backlog.hasDue(of: $0, beside: $1) }
    }

    /// Commits RUNNING for an offered job.
    ///
    /// - Parameter isProbe: the model server is away; clients see the attempt once it is worked on, or has ended.
    /// - Returns: nil when there is nothing left to do: cancelled, expired, already taken, or offered again since.
    /// - Throws: ``StoreError``; then the job is as it was.
    func claim(
        _ offer: Offer, at place: AttemptPlace = .local, isProbe: Bool = false, now: Moment? = nil
    ) async throws -> Claim? {
        let now = now ?? store.clock.now
        guard !scheduler.isPaused(offer.model) else { return nil }
        let stop = StopSignal()
        running.beginTaking()
        defer { running.endTaking() }
        do {
            let change = try await store.change(
                offer.job,
                rank: .change,
                now: now,
                readsInput: place.isLocal,
                remoteWorker: place.worker,
                first: { [running] change in
                    guard case .running(let lease) = change.job.state else { return }
                    running.begin(RunningJobs.Attempt(lease: lease, stop: stop, isHere: place.isLocal), of: offer.job)
                },
                { [scheduler] job in
                    // What comes from another host may name another model than the job's.
                    guard job.model == offer.model else { throw IllegalTransition(job.id, job.status, "claim") }
                    if job.isExpired(now) { return try job.expire(now: now) }
                    guard scheduler.admits(job) else { throw ClientIsFull() }
                    return try job.claim(promised: place.promisedLease, isProbe: isProbe, now: now)
                }
            )
            guard let change, case .running(let lease) = change.job.state else { return nil }
            return Claim(
                job: change.job, lease: lease, startedAt: now.elapsed, stop: stop, sent: isProbe ? Bell() : nil,
                showing: isProbe && place.isLocal ? Once() : nil,
                authorization: authorizations.value(for: change.job.key)
            )
        } catch is IllegalTransition {
            return nil
        } catch is ClientIsFull {
            // Its offer had seemed lost, or the limit was lowered since: it stays due.
            scheduler.askAgain(offer.model)
            return nil
        }
    }

    /// As many jobs of the client run as may.
    private struct ClientIsFull: Error {}

    /// Stores how a claimed attempt ended. An outcome that comes too late is dropped, with its blob.
    ///
    /// - Parameter isShown: whether clients have seen the attempt start.
    /// - Returns: the job as it was stored; nil when the outcome came too late.
    @discardableResult
    func finish(
        _ claim: Claim,
        with outcome: Outcome,
        retry: RetryPolicy,
        isShown: Bool = true,
        now: Moment? = nil
    ) async throws -> Job? {
        let now = now ?? store.clock.now
        let jitter = Double.random(in: 0..<1)
        return try await end(claim, dropping: outcome, now) { [streams] job in
            // Asked as late as can be: a client may be about to get the first bytes.
            let isFinal = retry.afterOutput == .fail && streams.isShown(claim.run)
            return try job.finish(
                claim.lease, with: outcome, retry: isFinal ? retry.never : retry, isShown: isShown, jitter: jitter,
                now: now
            )
        }
    }

    /// Lets clients see the start of a probe that the model server is working on.
    ///
    /// - Returns: false when the attempt is over.
    func show(_ claim: Claim) async throws -> Bool {
        do {
            return try await store.change(
                claim.job.key, rank: .change, now: store.clock.now
            ) { job in try job.show(claim.lease) } != nil
        } catch is IllegalTransition {
            return false
        }
    }

    /// Stores what a model server tells while it works.
    ///
    /// - Parameter limit: reports that one job may have.
    /// - Returns: the event; nil when the job is gone.
    /// - Throws: ``IllegalTransition`` when the token's attempt is over, ``ReportRefusal``, or ``StoreError``.
    package func report(
        _ token: NotifyToken,
        _ report: Report,
        limit: Int
    ) async throws -> JobEvent? {
        try await store.change(token.job, rank: .change, now: store.clock.now) { job in
            try job.report(token.lease, report, limit: limit)
        }?.events.first
    }

    /// Puts a claimed job back whose attempt was cut short: it does not count as a failure.
    func interrupt(_ claim: Claim, reason: String, isShown: Bool = true) async throws {
        let now = store.clock.now
        _ = try await end(claim, dropping: nil, now) { job in
            try job.interrupt(claim.lease, reason: reason, isShown: isShown, now: now)
        }
    }

    /// As ``interrupt(_:reason:isShown:)``, for a worker on another host that has crashed: it counts for the poison guard.
    ///
    /// - Returns: the job as it was stored; nil when the attempt was over.
    func crash(_ claim: Claim, wasAlone: Bool) async throws -> Job? {
        let now = store.clock.now
        return try await end(claim, dropping: nil, now) { job in
            try job.crash(claim.lease, wasAlone: wasAlone, now: now)
        }
    }

    private func end(
        _ claim: Claim,
        dropping outcome: Outcome?,
        _ now: Moment,
        _ transition: @escaping @Sendable (inout Job) throws -> [JobEvent.Draft]
    ) async throws -> Job? {
        var stored: Job?
        do {
            stored = try await store.change(
                claim.job.key, rank: .outcome, now: now,
                first: { [metrics] _ in
                    if let outcome, outcome.isAttempt { metrics.attemptEnded(claim, at: now.elapsed) }
                },
                transition
            )?.job
        } catch is IllegalTransition {
            // Too late: nothing is stored.
        }
        if let file = outcome?.file, stored?.output?.content != .file(file) { await store.blobs.remove(file) }
        running.end(claim)
        return stored
    }
}

extension Outcome {
    fileprivate var isAttempt: Bool {
        if case .refused = self { false } else { true }
    }
}
