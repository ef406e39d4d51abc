package import InferqCore
package import InferqQueue
package import Logging
import ServiceLifecycle

/// A worker on a host without a store: reads jobs of all gateways, asks for each before it calls, and keeps each outcome
/// until its gateway has stored it.
package final class RedisWorker: Service {
    /// How an attempt went.
    package enum Ending: Sendable {
        case reply(Reply)
        /// The answer went to the gateway another way, and is stored there, or no longer wanted.
        case delivered
    }

    /// Makes one attempt. Once the signal says stop, it returns soon; what it returns then does not matter.
    ///
    /// - Parameter sent: of a probe, rung once the call has gone out on a connection.
    package typealias Call = @Sendable (JobOffer, StopSignal, _ sent: Bell?) async -> Ending

    private let link: RedisLink
    private let models: [ModelSettings]
    private let servers: WorkerServers
    private let ledger = WorkerLedger()
    private let outbox: WorkerOutbox
    private let reader: WorkerReader
    private let presence: WorkerPresence
    private let wheel: TimerWheel
    private let drainTimeout: Duration
    private let call: Call
    private let logger: Logger
    private let throttle = LogThrottle()
    private let bell = Bell()

    /// An answer to a question comes within this time, or the job is left to others.
    private static let answerTime = Duration.seconds(5)
    /// How long a worker that stops waits for its receipts.
    private static let receiptTimeout = Duration.seconds(5)

    /// - Parameters:
    ///   - name: shown to people; its id, the link's, tells it from all others.
    ///   - models: those that it serves, each with a `url`.
    package init(
        link: RedisLink,
        name: String,
        host: String,
        bootID: String,
        models: [ModelSettings],
        wheel: TimerWheel,
        drainTimeout: Duration,
        logger: Logger,
        call: @escaping Call
    ) {
        self.link = link
        self.models = models
        self.wheel = wheel
        self.drainTimeout = drainTimeout
        self.logger = logger
        self.call = call
        servers = WorkerServers(models, logger: logger)
        let refusals = RedisRefusals(logger: logger)
        outbox = WorkerOutbox(link: link, refusals: refusals)
        reader = WorkerReader(link: link, ledger: ledger, servers: servers, outbox: outbox, refusals: refusals)
        presence = WorkerPresence(
            link: link, name: name, host: host, bootID: bootID, models: models, ledger: ledger, servers: servers,
            outbox: outbox, refusals: refusals, wheel: wheel, logger: logger, bell: bell)
    }

    /// Takes jobs until the graceful shutdown, and returns when every attempt has ended and its outcome is stored, or the
    /// time for that has passed.
    package func run() async throws {
        for model in models { reader.readJobs(of: model.name) }
        reader.readInbox()
        link.start(RedisLink.Callbacks(changed: { self.changed($0) }))
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.presence.publishHeartbeat() }
            await withDiscardingTaskGroup { slots in
                for model in models {
                    for _ in 0..<model.concurrency { slots.addTask { await self.runSlot(of: model.name) } }
                }
                slots.addTask { await self.drain() }
            }
            await waitForReceipts()
            group.cancelAll()
        }
        link.send(RedisCommand("DEL", link.keys.worker(link.id), link.keys.inbox(ofWorker: link.id)))
        link.send(RedisCommand("SREM", link.keys.workers, link.id))
        await link.flush()
        link.stop()
    }

    // MARK: Coming and going

    private func changed(_ reachability: RedisLink.Reachability) {
        if case .up = reachability {
            ledger.connected()
            logger.notice(
                "worker ready",
                metadata: ["worker": "\(presence.name)", "models": .array(models.map { "\($0.name)" })]
            )
        } else {
            ledger.disconnected()
        }
        bell.ring(.event)
    }

    /// Lets attempts go on for a while after the stop was asked for.
    private func drain() async {
        let stop = Bell()
        await withTaskCancellationOrGracefulShutdownHandler {
            _ = await stop.wait()
        } onCancelOrGracefulShutdown: {
            stop.ring(.stop)
        }
        ledger.drain()
        bell.ring(.event)
        logger.notice(
            "stopping: no more jobs are taken, running attempts may continue for a while",
            metadata: [
                "running": .stringConvertible(ledger.runningCount),
                "drain_timeout": "\(DurationText.format(drainTimeout))",
            ]
        )
        await wait(atMost: drainTimeout) { ledger.isIdle }
        ledger.interrupt()
    }

    /// Looks every few moments whether something has changed; it does so once in the life of a process.
    private func wait(atMost most: Duration, until condition: () -> Bool) async {
        let end = ContinuousClock.now + most
        while !condition(), ContinuousClock.now < end {
            await wheel.sleep(for: .milliseconds(50))
        }
    }

    private func waitForReceipts() async {
        await wait(atMost: Self.receiptTimeout) { ledger.heldCount == 0 }
        let left = ledger.heldCount
        if left > 0 {
            logger.warning(
                "outcomes wait in redis, their gateways did not take them",
                metadata: ["attempts": .stringConvertible(left)]
            )
        }
    }

    // MARK: One slot

    private func runSlot(of model: String) async {
        while let delivery = await next(of: model) {
            let name = delivery.name
            defer { servers.end(delivery.offer.job.key, of: model) }
            guard let stop = await ask(delivery) else { continue }
            let log = logger(of: delivery.offer)
            log.debug("attempt started")
            let sent = delivery.isProbe ? Bell() : nil
            async let start: Void = show(delivery, sent)
            let called = await call(delivery.offer, stop, sent)
            let ending = await judged(called, of: delivery, isStopped: stop.reason != nil)
            sent?.ring(.stop)
            await start
            switch (stop.reason, ending) {
            case (.cancelled, _):
                log.info("attempt dropped: its gateway says that it is over")
                ledger.forget(name)
            case (.serviceStops, _):
                log.notice("attempt interrupted, its gateway offers the job again")
                end(name, .interrupted(reason: "its worker stopped"))
            case (nil, .delivered):
                log.debug("attempt completed")
                ledger.forget(name)
            case (nil, .reply(.answered(let answer))):
                log.debug("attempt completed")
                end(name, .answered(answer))
            case (nil, .reply(.refused(let refusal))):
                log.debug("the model server did not take the call", metadata: ["reason": "\(refusal.failure.message)"])
                end(name, .refused(refusal))
            case (nil, .reply(.failed(let failure, let retryAfter, let answer))):
                throttle.log(
                    log, .notice, "attempt failed", of: "\(model) \(failure.code.rawValue)",
                    metadata: ["code": "\(failure.code.rawValue)", "reason": "\(failure.message)"]
                )
                end(name, .failed(failure, retryAfter: retryAfter, answer: answer))
            }
        }
    }

    private func logger(of offer: JobOffer) -> Logger {
        var log = logger
        log[metadataKey: "job_id"] = "\(offer.job)"
        log[metadataKey: "model"] = "\(offer.model)"
        log[metadataKey: "attempt"] = .stringConvertible(offer.attempt)
        return log
    }

    private func end(_ name: AttemptName, _ message: WorkerMessage) {
        ledger.end(name, message)
        outbox.send(message, name)
    }

    /// Waits for a job; nil once the worker stops.
    private func next(of model: String) async -> Delivery? {
        let slot = WorkerSlot()
        guard ledger.enter(slot, for: model) else { return nil }
        while true {
            let rings = await slot.bell.wait()
            if let delivery = slot.delivery { return delivery }
            guard rings.contains(.stop) else { continue }
            if ledger.leave(slot, of: model) { return nil }
        }
    }

    /// Asks the gateway for the job: it commits before it says go.
    ///
    /// - Returns: what may stop the attempt, or nil: it is not ours.
    private func ask(_ delivery: Delivery) async -> StopSignal? {
        let name = delivery.name
        let slot = WorkerSlot()
        let take = WorkerMessage.take(entry: delivery.entry, model: delivery.offer.model, isProbe: delivery.isProbe)
        guard let stop = ledger.ask(name, of: delivery.offer.model, slot) else {
            // Offered twice. The gateway deletes what it is asked for, so that this entry need not stay there until it
            // counts as lost; and should the first question be lost, the slot that waits gets the answer to this one.
            outbox.send(take, name)
            return nil
        }
        guard outbox.send(take, name) else {
            ledger.forget(name)
            return nil
        }
        _ = await wheel.wait(at: slot.bell, atMost: Self.answerTime)
        return ledger.settle(name) ? stop : nil
    }

    // MARK: Its model server

    /// What a call has come to, once it is known whether its server is there.
    private func judged(_ ending: Ending, of delivery: Delivery, isStopped: Bool) async -> Ending {
        let (job, model) = (delivery.offer.job.key, delivery.offer.model)
        guard !isStopped else { return ending }
        guard case .reply(var reply) = ending else {
            if servers.answered(job, of: model) { serversChanged() }
            return ending
        }
        if case .failed(let failure, let retryAfter, _) = reply, failure.code == .httpError,
            await !servers.isWell(model)
        {
            reply = .refused(Refusal(.notReady, failure, retryAfter: retryAfter))
        }
        let judged = servers.judge(reply, of: job, model)
        if judged.isChanged { serversChanged() }
        return .reply(judged.reply)
    }

    /// Tells the gateway that the model server works on a probe, once it has had the call for a while.
    private func show(_ delivery: Delivery, _ sent: Bell?) async {
        guard let sent, await wheel.isWorkedOn(sent) else { return }
        if servers.accepted(delivery.offer.job.key, of: delivery.offer.model) { serversChanged() }
        outbox.send(.shown, delivery.name)
    }
}

/// A model server that is away: this worker takes no jobs of its model, and tells its gateways so.
extension RedisWorker: ServerWatch {
    package var looks: Bell { servers.looks }

    package func look() -> (asking: [String], next: Availability.Instant?) { servers.look() }

    package func note(_ health: Availability.Health, of model: String) {
        if servers.note(health, of: model) { serversChanged() }
    }

    package func model(_ name: String) -> ModelSettings? { models.first { $0.name == name } }

    /// The next heartbeat says so at once, and gateways are asked to read it.
    private func serversChanged() {
        ledger.serversChanged()
        bell.ring(.event)
    }
}
