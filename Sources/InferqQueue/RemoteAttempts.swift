package import InferqCore
package import Logging
import Synchronization

/// The gateway's side of the attempts that run at workers on other hosts: what a worker asks for is committed here, and
/// what it brings back ends the attempt if its lease is still the job's.
///
/// It knows nothing of the way that messages take: see `InferqRedis`.
package final class RemoteAttempts: Sendable {
    /// One attempt at a worker.
    package struct Attempt: Sendable {
        package let claim: Claim
        package let worker: String
        /// Of its model, as they were when the attempt began: a reload changes and removes models, not attempts that run.
        package let settings: ModelSettings
        /// When it was claimed, or found at the start.
        package let since: ContinuousClock.Instant

        var place: AttemptPlace { .remote(worker: worker, lease: claim.lease) }
    }

    package let queue: JobQueue
    /// Stores what workers hand over of answers that come piece by piece.
    package let pieces: PieceWriter
    private let logger: Logger
    private let wheel: TimerWheel
    private let outcomes: OutcomeWriter
    private let attempts = AttemptLog()
    private let throttle = LogThrottle()
    private let current = Mutex<[JobKey: Attempt]>([:])
    /// Probes whose start clients have not seen yet.
    private let hidden = Mutex<Set<JobKey>>([])

    /// Takes up the attempts that the store names.
    package init(queue: JobQueue, wheel: TimerWheel, logger: Logger) {
        self.queue = queue
        self.logger = logger
        self.wheel = wheel
        outcomes = OutcomeWriter(queue: queue, wheel: wheel)
        pieces = PieceWriter(queue: queue, wheel: wheel, logger: logger)
        let now = queue.store.clock.now
        for stored in queue.store.recovery.remoteAttempts {
            let age = stored.job.startedAt.map { max(now.wall - $0, .zero) } ?? .zero
            let claim = Claim(job: stored.job, lease: stored.lease, startedAt: now.elapsed - age, stop: StopSignal())
            queue.running.begin(
                RunningJobs.Attempt(lease: claim.lease, stop: claim.stop, isHere: false), of: claim.job.key)
            queue.scheduler.takeUp(stored.job, at: .remote(worker: stored.worker, lease: stored.lease))
            // Those of now are the best that there are; a model that was removed has none but the defaults.
            let settings = queue.model(stored.job.model) ?? ModelSettings(name: stored.job.model, url: "")
            let found = Attempt(claim: claim, worker: stored.worker, settings: settings, since: .now)
            current.withLock { $0[stored.job.key] = found }
        }
    }

    /// The attempts that run at other hosts at this moment.
    package var all: [Attempt] { current.withLock { Array($0.values) } }

    /// The attempt of a job, if it runs at a worker under this lease.
    package func attempt(of job: JobKey, _ lease: Job.Lease) -> Attempt? {
        current.withLock { current in current[job].flatMap { $0.claim.lease == lease ? $0 : nil } }
    }

    /// A worker asks for a job that it was offered: RUNNING is on disk when this returns the claim.
    ///
    /// - Parameters:
    ///   - isProbe: the worker's model server was away; clients see the attempt once it is worked on, or has ended.
    ///   - onStop: called once the job is cancelled, on the writer: it must not block. The attempt is over then.
    /// - Returns: nil: there is nothing left to do. Also when the store could not tell; the job stays due then.
    package func take(
        _ offer: Offer,
        _ lease: Job.Lease,
        for worker: String,
        isProbe: Bool = false,
        onStop: @escaping @Sendable (Attempt) -> Void
    ) async -> Claim? {
        guard let settings = queue.model(offer.model) else {
            // A reload has removed it. Should it come back, the job is offered again.
            queue.scheduler.offerAgain([offer])
            return nil
        }
        let place = AttemptPlace.remote(worker: worker, lease: lease)
        queue.scheduler.taken(offer, at: place)
        do {
            if let claim = try await queue.claim(offer, at: place, isProbe: isProbe) {
                hidden.withLock { jobs in
                    if isProbe { jobs.insert(offer.job) } else { jobs.remove(offer.job) }
                }
                let attempt = Attempt(claim: claim, worker: worker, settings: settings, since: .now)
                let before = current.withLock { $0.updateValue(attempt, forKey: offer.job) }
                // Its end was committed before this claim, and is just being noted.
                if let before { queue.scheduler.ended(before.claim.offer, at: before.place) }
                watch(attempt, onStop)
                logger.of(claim).debug("attempt started elsewhere", metadata: ["worker": "\(worker)"])
                return claim
            }
        } catch {
            throttle.log(
                logger, .error, "a job could not be given to a worker and stays pending",
                of: offer.model, metadata: ["model": "\(offer.model)", "error": "\(error)"]
            )
            await wheel.pause(for: .seconds(1))
        }
        // It may be due all the same: offered again since, under another lease.
        queue.scheduler.returned(offer, at: place)
        return nil
    }

    /// Calls `onStop` once the job of an attempt is cancelled; for those that were found at the start.
    package func watch(_ attempt: Attempt, _ onStop: @escaping @Sendable (Attempt) -> Void) {
        attempt.claim.stop.whenStopped { [weak self] in
            guard let self, self.forget(attempt.claim) else { return }
            self.queue.running.end(attempt.claim)
            self.logger.of(attempt.claim).info("attempt cancelled")
            onStop(attempt)
        }
    }

    /// Lets clients see the start of a probe that its model server is working on.
    package func show(_ job: JobKey, _ lease: Job.Lease) async {
        guard let attempt = attempt(of: job, lease), isHidden(job) else { return }
        do {
            _ = try await queue.show(attempt.claim)
        } catch {
            throttle.log(
                logger, .error, "the start of an attempt could not be stored", metadata: ["error": "\(error)"]
            )
        }
    }

    /// Whether clients have not seen an attempt start; the one that asks lets them.
    private func isHidden(_ job: JobKey) -> Bool {
        hidden.withLock { $0.remove(job) != nil }
    }

    /// Stores how an attempt ended; on a full disk again and again, until there is room.
    ///
    /// - Returns: whether the worker need not keep the outcome any longer: it is on disk, or came too late.
    package func finish(_ job: JobKey, _ lease: Job.Lease, with outcome: Outcome) async -> Bool {
        guard let attempt = attempt(of: job, lease) else {
            await queue.drop(outcome)
            return true
        }
        let claim = attempt.claim
        let retry = attempt.settings.retryPolicy(of: claim.job)
        let isShown = !isHidden(job)
        let stored = await outcomes.store(logger.of(claim)) {
            try await self.queue.finish(claim, with: outcome, retry: retry, isShown: isShown)
        }
        if let job = stored {
            attempts.ended(with: outcome, job, logger.of(claim), of: claim.job.model)
            forget(claim)
        }
        if case .refused = outcome { queue.scheduler.offerAnew(claim.job.model) }
        return stored != nil
    }

    /// Puts a job back whose attempt was cut short through no fault of its own.
    package func interrupt(_ job: JobKey, _ lease: Job.Lease, reason: String) async -> Bool {
        guard let attempt = attempt(of: job, lease) else { return true }
        logger.of(attempt.claim).notice(
            "attempt interrupted, the job is offered again",
            metadata: ["worker": "\(attempt.worker)", "reason": "\(reason)"]
        )
        let isShown = !isHidden(job)
        let stored: Void? = await outcomes.store(logger.of(attempt.claim)) {
            try await self.queue.interrupt(attempt.claim, reason: reason, isShown: isShown)
        }
        if stored != nil { forget(attempt.claim) }
        return stored != nil
    }

    /// As ``interrupt(_:_:reason:)``, once: the one that asks looks again soon, and must not wait for a full disk.
    package func tryToInterrupt(_ attempt: Attempt, reason: String) async {
        do {
            try await queue.interrupt(attempt.claim, reason: reason, isShown: !isHidden(attempt.claim.job.key))
            guard forget(attempt.claim) else { return }
            logger.of(attempt.claim).notice(
                "attempt interrupted, the job is offered again",
                metadata: ["worker": "\(attempt.worker)", "reason": "\(reason)"]
            )
        } catch {
            throttle.log(
                logger, .error, "the outcome of an attempt could not be stored", metadata: ["error": "\(error)"]
            )
        }
    }

    /// As ``tryToInterrupt(_:reason:)``, for a worker that has died by itself while the attempt ran.
    ///
    /// - Parameter wasAlone: see ``Job/crash(_:wasAlone:now:)``.
    package func tryToCrash(_ attempt: Attempt, wasAlone: Bool) async {
        do {
            let job = try await queue.crash(attempt.claim, wasAlone: wasAlone)
            guard forget(attempt.claim) else { return }
            let worker: Logger.Metadata = ["worker": "\(attempt.worker)"]
            if job?.status.isFinal == true {
                logger.of(attempt.claim).warning(
                    "job ended in ERROR: its workers crashed while it ran, the last one while it ran alone",
                    metadata: worker
                )
            } else {
                logger.of(attempt.claim).notice("attempt interrupted by a crash of its worker", metadata: worker)
            }
        } catch {
            throttle.log(
                logger, .error, "the outcome of an attempt could not be stored", metadata: ["error": "\(error)"]
            )
        }
    }

    /// - Returns: false when it was forgotten before.
    @discardableResult
    private func forget(_ claim: Claim) -> Bool {
        let known = current.withLock { current -> Attempt? in
            guard current[claim.job.key]?.claim.lease == claim.lease else { return nil }
            return current.removeValue(forKey: claim.job.key)
        }
        guard let known else { return false }
        _ = isHidden(claim.job.key)
        queue.scheduler.ended(claim.offer, at: known.place)
        return true
    }
}

extension JobQueue {
    /// An answer that no one wants goes, with its file.
    func drop(_ outcome: Outcome) async {
        if let file = outcome.file { await store.blobs.remove(file) }
    }
}
