package import InferqCore
package import Logging
import ServiceLifecycle

/// Takes jobs from the broker and calls their model servers: per model as many identical slots as its
/// `concurrency`.
package final class Worker: Service {
    /// Calls the model server for one attempt. Once the claim's signal says stop, it closes the connection and returns
    /// soon; what it returns then does not matter.
    package typealias Call = @Sendable (Claim, ModelSettings) async -> Outcome
    /// Makes a connection for the next call and keeps it. Nil: there is one.
    package typealias Reach = @Sendable (ModelSettings) async -> Refusal?

    private let queue: JobQueue
    private let wheel: TimerWheel
    private let drainTimeout: @Sendable () -> Duration
    private let call: Call
    private let reach: Reach
    /// Where slots run, in turn; none: the global pool.
    private let executors: [any TaskExecutor]
    private let logger: Logger
    private let attempts = AttemptLog()
    private let outcomes: OutcomeWriter
    private let throttle = LogThrottle()
    private let (reloads, reload) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))

    /// - Parameter drainTimeout: how long attempts may go on after the stop was asked for.
    package init(
        queue: JobQueue,
        wheel: TimerWheel,
        drainTimeout: @escaping @Sendable () -> Duration,
        logger: Logger,
        executors: [any TaskExecutor] = [],
        reach: @escaping Reach = { _ in nil },
        call: @escaping Call
    ) {
        self.queue = queue
        self.wheel = wheel
        self.drainTimeout = drainTimeout
        self.logger = logger
        outcomes = OutcomeWriter(queue: queue, wheel: wheel)
        self.call = call
        self.reach = reach
        self.executors = executors
    }

    /// Begins to take jobs: once model servers can be told where the gateway is.
    package func start() {
        reload.yield()
    }

    /// Adds and retires slots after the models have changed.
    package func modelsChanged() {
        reload.yield()
    }

    /// Ends after a graceful shutdown once every attempt has ended, or was put back when `drainTimeout` had passed.
    package func run() async throws {
        await withDiscardingTaskGroup { group in
            var slots: [String: Int] = [:]
            for await _ in reloads.cancelOnGracefulShutdown() {
                for model in queue.models {
                    for slot in slots[model.name, default: 0]..<max(slots[model.name, default: 0], model.slots) {
                        let executor = executors.isEmpty ? nil : executors[slot % executors.count]
                        group.addTask(executorPreference: executor) { await self.runSlot(of: model.name) }
                    }
                    slots[model.name] = max(slots[model.name, default: 0], model.slots)
                }
            }
            queue.broker.close()
            await drain()
        }
    }

    private func drain() async {
        let bell = Bell()
        let limit = drainTimeout()
        logger.notice(
            "stopping: no more jobs are taken, running attempts may continue for a while",
            metadata: [
                "running": .stringConvertible(queue.running.hereCount),
                "drain_timeout": "\(DurationText.format(limit))",
            ]
        )
        queue.running.ringWhenIdle(bell)
        if await wheel.wait(at: bell, atMost: limit).contains(.deadline) {
            logger.notice(
                "drain timeout passed, interrupting running attempts",
                metadata: ["running": .stringConvertible(queue.running.hereCount)]
            )
        }
        queue.running.interruptAll()
    }

    // MARK: One slot

    /// A slot past the model's concurrency (a reload has lowered it) still takes what was offered to it: the scheduler
    /// offers no more than there are places, so it only waits.
    private func runSlot(of model: String) async {
        var next = await claimNext(of: model)
        while let (offer, claim) = next {
            let log = logger.of(claim)
            let ending = await attempt(claim, log)
            next = await withTaskGroup(of: Void.self) { group in
                group.addImmediateTask { await self.end(claim, ending, log) }
                // A server may not survive that its client hangs up: it is asked before the next job is called.
                if ending.hangsUp { _ = await queue.scheduler.isWell(model) }
                // The model server is done with this job: the next one may be claimed by the commit that ends it. It
                // is called after that commit, so a slot never holds more than one outcome that is not stored.
                queue.scheduler.ended(offer)
                return await claimNext(of: model)
            }
        }
    }

    /// Waits for the next job that can be claimed; nil once the broker is closed.
    private func claimNext(of model: String) async -> (Offer, Claim)? {
        while let offer = await queue.broker.take(model) {
            let passage = queue.scheduler.taken(offer)
            guard passage != .held else {
                queue.scheduler.returned(offer)
                continue
            }
            do {
                if passage == .probe, let settings = queue.model(model), let refusal = await reach(settings) {
                    queue.scheduler.unreached(offer, refusal)
                    continue
                }
                if let claim = try await queue.claim(offer, isProbe: passage == .probe) { return (offer, claim) }
                queue.scheduler.ended(offer)
            } catch {
                throttle.log(
                    logger, .error, "a job could not be taken and stays pending",
                    of: model, metadata: ["model": "\(model)", "error": "\(error)"]
                )
                await wheel.pause(for: .seconds(1))
                queue.scheduler.returned(offer)
            }
        }
        return nil
    }

    // MARK: One attempt

    /// How an attempt went, and so what is to be stored.
    private enum Ending: Sendable {
        case called(Outcome, RetryPolicy, isShown: Bool)
        /// It was stopped; what the model server answered meanwhile is dropped.
        case stopped(StopSignal.Reason, Outcome, isShown: Bool)
        case modelRemoved

        /// Whether the connection was closed while the model server worked on the job.
        var hangsUp: Bool {
            switch self {
            case .stopped(.cancelled, _, _): true
            case .called(.failed(let failure, _, _), _, _): failure.code == .timeout
            case .called, .stopped, .modelRemoved: false
            }
        }
    }

    private func attempt(_ claim: Claim, _ log: Logger) async -> Ending {
        guard let settings = queue.model(claim.job.model) else { return .modelRemoved }
        log.debug("attempt started")
        var isShown = true
        let outcome: Outcome
        if let sent = claim.sent {
            async let start = show(claim, sent)
            outcome = await confirmed(await call(claim, settings), of: claim)
            sent.ring(.stop)
            isShown = await start
        } else {
            outcome = await confirmed(await call(claim, settings), of: claim)
        }
        if let reason = claim.stop.reason { return .stopped(reason, outcome, isShown: isShown) }
        let judged = queue.scheduler.judge(outcome, of: claim.offer)
        return .called(judged, settings.retryPolicy(of: claim.job), isShown: isShown)
    }

    /// An error answer of a server that is not ready says nothing of the job: MLServer answers 400 while a model loads.
    private func confirmed(_ outcome: Outcome, of claim: Claim) async -> Outcome {
        guard case .failed(let failure, let retryAfter, _) = outcome, failure.code == .httpError,
            claim.stop.reason == nil, await !queue.scheduler.isWell(claim.job.model)
        else { return outcome }
        await queue.drop(outcome)
        return .refused(Refusal(.notReady, failure, retryAfter: retryAfter))
    }

    /// Lets clients see a probe once the model server works on it: it has the call, and has not refused it for a while.
    ///
    /// - Returns: whether clients have seen the attempt start.
    private func show(_ claim: Claim, _ sent: Bell) async -> Bool {
        // The first piece of an answer may have shown it already.
        let isWorkedOn = await wheel.isWorkedOn(sent)
        guard claim.showing?.take() != false else { return true }
        guard isWorkedOn else { return false }
        queue.scheduler.accepted(claim.offer)
        do {
            return try await queue.show(claim)
        } catch {
            throttle.log(logger, .error, "the start of an attempt could not be stored", metadata: ["error": "\(error)"])
            return false
        }
    }

    private func end(_ claim: Claim, _ ending: Ending, _ log: Logger) async {
        switch ending {
        case .called(let outcome, let retry, let isShown):
            let job = await outcomes.store(log) {
                try await self.queue.finish(claim, with: outcome, retry: retry, isShown: isShown)
            }
            attempts.ended(with: outcome, job ?? nil, log, of: claim.job.model)
        case .stopped(.cancelled, let outcome, _):
            await queue.drop(outcome)
            queue.running.end(claim)
            log.info("attempt cancelled")
        case .stopped(.serviceStops, let outcome, let isShown):
            await queue.drop(outcome)
            log.notice("attempt interrupted, will be repeated after the next start")
            await putBack(claim, reason: "the gateway stopped", isShown: isShown)
        case .modelRemoved:
            await putBack(claim, reason: "its model was removed", isShown: !claim.isProbe)
        }
    }

    private func putBack(_ claim: Claim, reason: String, isShown: Bool) async {
        _ = await outcomes.store(logger.of(claim)) {
            try await self.queue.interrupt(claim, reason: reason, isShown: isShown)
        }
    }
}
