package import Logging
import Synchronization

/// The gateway's side of the attempts that run at workers on other hosts: what a worker asks for is committed here, and
/// what it brings back ends the attempt if its lease is still the job's.
///
/// It knows nothing of the way on which words travel: see `InferqRedis`.
package final class AttemptsElsewhere: Sendable {
    /// One attempt that runs at a worker.
    package struct Run: Sendable {
        package let claim: Claim
        package let worker: String
        /// Of its model, as they were when the attempt began: a reload changes and removes models, not attempts that run.
        package let settings: ModelSettings
        /// When it was claimed, or found at the start.
        package let since: ContinuousClock.Instant
    }

    package let queue: JobQueue
    private let wheel: TimerWheel
    private let logger: Logger
    private let attempts = AttemptLog()
    private let throttle = LogThrottle()
    private let runs = Mutex<[JobKey: Run]>([:])
    /// Probes whose start clients have not seen yet.
    private let hidden = Mutex<Set<JobKey>>([])

    /// Takes up what the store says is running elsewhere.
    package init(queue: JobQueue, wheel: TimerWheel, logger: Logger) {
        self.queue = queue
        self.wheel = wheel
        self.logger = logger
        let now = queue.store.clock.now
        for run in queue.store.recovery.elsewhere {
            let age = run.job.startedAt.map { max(now.wall - $0, .zero) } ?? .zero
            let claim = Claim(job: run.job, lease: run.lease, startedAt: now.elapsed - age, stop: StopSignal())
            queue.running.begin(
                RunningJobs.Attempt(lease: claim.lease, stop: claim.stop, isHere: false), of: claim.job.key)
            queue.scheduler.takenElsewhere(claim.offer)
            // Those of now are the best that there are; a model that was removed has none but the defaults.
            let settings = queue.model(run.job.model) ?? ModelSettings(name: run.job.model, url: "")
            let found = Run(claim: claim, worker: run.worker, settings: settings, since: .now)
            runs.withLock { $0[run.job.key] = found }
        }
    }

    /// The attempts that run at other hosts at this moment.
    package var all: [Run] { runs.withLock { Array($0.values) } }

    /// The attempt of a job, if it runs elsewhere under this lease.
    package func run(of job: JobKey, _ lease: Job.Lease) -> Run? {
        runs.withLock { runs in runs[job].flatMap { $0.claim.lease == lease ? $0 : nil } }
    }

    /// The jobs of these offers that are still due, with their inputs as far as those lie in the rows.
    package func due(_ offers: [Offer]) async throws -> [Job] {
        try await queue.store.due(offers.map(\.job))
    }

    /// A worker asks for a job that it was offered: RUNNING is on disk when this returns the claim.
    ///
    /// - Parameters:
    ///   - isProbe: the worker's model server was away; clients see the attempt once it is worked on, or has ended.
    ///   - onStop: called once the job is cancelled, on the writer: it must not block. The attempt is over then.
    /// - Returns: nil: there is nothing to do any more. Also when the store could not tell; the job stays due then.
    package func take(
        _ offer: Offer,
        _ lease: Job.Lease,
        for worker: String,
        isProbe: Bool = false,
        onStop: @escaping @Sendable (Run) -> Void
    ) async -> Claim? {
        guard let settings = queue.model(offer.model) else {
            // A reload has removed it. Should it come back, the job is offered again.
            queue.scheduler.offerAgain([offer])
            return nil
        }
        queue.scheduler.takenElsewhere(offer)
        do {
            let place = JobQueue.Place.elsewhere(worker: worker, lease: lease)
            if let claim = try await queue.claim(offer, at: place, isProbe: isProbe) {
                hidden.withLock { jobs in
                    if isProbe { jobs.insert(offer.job) } else { jobs.remove(offer.job) }
                }
                let run = Run(claim: claim, worker: worker, settings: settings, since: .now)
                let before = runs.withLock { $0.updateValue(run, forKey: offer.job) }
                // Its end was committed before this claim, and is just being noted.
                if let before { queue.scheduler.endedElsewhere(before.claim.offer) }
                watch(run, onStop)
                logger.of(claim).debug("attempt started elsewhere", metadata: ["worker": "\(worker)"])
                return claim
            }
        } catch {
            throttle.log(
                logger, .error, "a job could not be given to a worker and stays pending",
                of: offer.model, metadata: ["model": "\(offer.model)", "error": "\(error)"]
            )
            await pause()
        }
        queue.scheduler.endedElsewhere(offer)
        // It may be due all the same: offered anew since, under another lease.
        queue.scheduler.askAgain(offer.model)
        return nil
    }

    private func pause() async {
        let bell = Bell()
        let deadline = wheel.ring(bell, after: .seconds(1))
        _ = await bell.wait()
        wheel.cancel(deadline)
    }

    /// Says of a run found at the start, too, when it must stop.
    package func watch(_ run: Run, _ onStop: @escaping @Sendable (Run) -> Void) {
        run.claim.stop.whenStopped {
            guard self.forget(run.claim) else { return }
            self.queue.running.end(run.claim)
            self.logger.of(run.claim).info("attempt cancelled")
            onStop(run)
        }
    }

    /// Lets clients see the start of a probe that its model server is working on.
    package func show(_ job: JobKey, _ lease: Job.Lease) async {
        guard let run = run(of: job, lease), isHidden(job) else { return }
        do {
            _ = try await queue.show(run.claim)
        } catch {
            throttle.log(
                logger, .error, "the start of an attempt could not be stored", metadata: ["error": "\(error)"]
            )
        }
    }

    /// Whether clients have not seen an attempt start; whoever asks lets them.
    private func isHidden(_ job: JobKey) -> Bool {
        hidden.withLock { $0.remove(job) != nil }
    }

    /// Stores how an attempt ended; on a full disk again and again, until there is room.
    ///
    /// - Returns: whether the worker need not keep the outcome any longer: it is on disk, or came too late.
    package func finish(_ job: JobKey, _ lease: Job.Lease, with outcome: Outcome) async -> Bool {
        guard let run = run(of: job, lease) else {
            await queue.drop(outcome)
            return true
        }
        let claim = run.claim
        let retry = run.settings.retryPolicy(of: claim.job)
        let isShown = !isHidden(job)
        let isStored = await store(claim) {
            let job = try await self.queue.finish(claim, with: outcome, retry: retry, isShown: isShown)
            self.attempts.ended(with: outcome, job, self.logger.of(claim), of: claim.job.model)
        }
        if case .refused = outcome { queue.scheduler.offerAnew(claim.job.model) }
        return isStored
    }

    /// Puts a job back whose attempt was cut short through no fault of its own.
    package func interrupt(_ job: JobKey, _ lease: Job.Lease, reason: String) async -> Bool {
        guard let run = run(of: job, lease) else { return true }
        logger.of(run.claim).notice(
            "attempt interrupted, the job is offered again",
            metadata: ["worker": "\(run.worker)", "reason": "\(reason)"]
        )
        return await putBack(run, reason: reason)
    }

    /// As ``interrupt(_:_:reason:)``, once: whoever asks looks again soon, and must not wait for a full disk.
    package func tryToInterrupt(_ run: Run, reason: String) async {
        do {
            try await queue.interrupt(run.claim, reason: reason, isShown: !isHidden(run.claim.job.key))
            guard forget(run.claim) else { return }
            logger.of(run.claim).notice(
                "attempt interrupted, the job is offered again",
                metadata: ["worker": "\(run.worker)", "reason": "\(reason)"]
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
    package func tryToCrash(_ run: Run, wasAlone: Bool) async {
        do {
            let job = try await queue.crash(run.claim, wasAlone: wasAlone)
            guard forget(run.claim) else { return }
            let worker: Logger.Metadata = ["worker": "\(run.worker)"]
            if job?.status.isFinal == true {
                logger.of(run.claim).warning(
                    "job ended in ERROR: its workers crashed while it ran, the last one while it ran alone",
                    metadata: worker
                )
            } else {
                logger.of(run.claim).notice("attempt interrupted by a crash of its worker", metadata: worker)
            }
        } catch {
            throttle.log(
                logger, .error, "the outcome of an attempt could not be stored", metadata: ["error": "\(error)"]
            )
        }
    }

    private func putBack(_ run: Run, reason: String) async -> Bool {
        let isShown = !isHidden(run.claim.job.key)
        return await store(run.claim) {
            try await self.queue.interrupt(run.claim, reason: reason, isShown: isShown)
        }
    }

    private func store(_ claim: Claim, _ change: @Sendable () async throws -> Void) async -> Bool {
        let log = logger.of(claim)
        while !Task.isCancelled {
            do {
                try await change()
                _ = forget(claim)
                return true
            } catch StoreError.full where !queue.running.isInterrupting {
                throttle.log(
                    log, .error, "the disk is full: the outcome of an attempt waits to be stored"
                )
                await pause()
            } catch {
                throttle.log(
                    log, .error, "the outcome of an attempt could not be stored",
                    metadata: ["error": "\(error)"]
                )
                return false
            }
        }
        return false
    }

    /// - Returns: false when it was forgotten before.
    private func forget(_ claim: Claim) -> Bool {
        let isKnown = runs.withLock { runs -> Bool in
            guard runs[claim.job.key]?.claim.lease == claim.lease else { return false }
            runs[claim.job.key] = nil
            return true
        }
        if isKnown { _ = isHidden(claim.job.key) }
        if isKnown { queue.scheduler.endedElsewhere(claim.offer) }
        return isKnown
    }
}

extension JobQueue {
    /// An answer that nobody wants goes, with its file.
    func drop(_ outcome: Outcome) async {
        if case .answered(let answer) = outcome, case .file(let name) = answer.payload.content {
            await store.blobs.remove(name)
        }
    }
}
