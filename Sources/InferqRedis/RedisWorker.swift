import Foundation
package import InferqCore
package import InferqQueue
package import Logging
import ServiceLifecycle
import Synchronization

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
    final class Slot: Sendable {
        let bell = Bell()
        let delivery = Mutex<Delivery?>(nil)
        let answer = Mutex<GatewayMessage?>(nil)
    }

    struct Held {
        enum Phase {
            case asking(Slot)
            case running
            /// With the moment at which it was last told.
            case ended(WorkerMessage, sent: ContinuousClock.Instant)
        }

        var phase: Phase
        let model: String
        let stop: StopSignal
    }

    struct State {
        /// Models of each gateway that lives, by its instance id.
        var gateways: [String: Set<String>] = [:]
        /// Slots that wait, by model.
        var idle: [String: [Slot]] = [:]
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

        var runningCount: Int {
            held.values.count { if case .running = $0.phase { true } else { false } }
        }

        /// Nothing runs, and no slot has asked for a job.
        var isIdle: Bool {
            held.values.allSatisfy { if case .ended = $0.phase { true } else { false } }
        }
    }

    let link: RedisLink
    let name: String
    let host: String
    /// Of the kernel: see ``WorkerHeartbeat/boot``.
    let bootID: String
    let models: [ModelSettings]
    let servers: WorkerServers
    let wheel: TimerWheel
    private let drainTimeout: Duration
    private let call: Call
    let logger: Logger
    let throttle = LogThrottle()
    /// For what is seen again at each look.
    let onceAnHour = LogThrottle(limit: 1, period: .seconds(3600))
    let refusals: RedisRefusals
    let state = Mutex(State())
    let bell = Bell()
    let condition = MonotonicCondition()

    static let patience = Duration.milliseconds(500)
    /// An answer to a question comes within this time, or the job is left to others.
    private static let answerTime = Duration.seconds(5)
    /// An outcome whose receipt has not come is told again.
    static let resendAfter = Duration.seconds(5)
    /// Seconds for which what was said waits for its gateway: a week, as long as ended jobs are kept by default.
    private static let inboxLifetime = "604800"
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
        self.name = name
        self.host = host
        self.bootID = bootID
        self.models = models
        servers = WorkerServers(models, logger: logger)
        self.wheel = wheel
        self.drainTimeout = drainTimeout
        self.logger = logger
        refusals = RedisRefusals(logger: logger)
        self.call = call
    }

    /// Takes jobs until the graceful shutdown, and returns when every attempt has ended and its outcome is stored, or the
    /// time for that has passed.
    package func run() async throws {
        for model in models { readJobs(of: model.name) }
        readInbox()
        link.start(RedisLink.Callbacks(changed: { self.changed($0) }))
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.publishHeartbeat() }
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
            state.withLock { state in
                for (name, held) in state.held {
                    guard case .ended(let message, _) = held.phase else { continue }
                    state.held[name]?.phase = .ended(message, sent: .now - Self.resendAfter * 2)
                }
            }
            state.withLock { $0.unmatchedSince = .now }
            logger.notice(
                "worker ready",
                metadata: ["worker": "\(name)", "models": .array(models.map { "\($0.name)" })]
            )
        } else {
            state.withLock { state in
                state.gateways = [:]
                state.unmatchedSince = nil
            }
        }
        bell.ring(.event)
    }

    @discardableResult
    func send(_ message: WorkerMessage, _ name: AttemptName) -> Bool {
        let inbox = link.keys.inbox(ofGateway: name.gateway)
        let isSent = link.send(message.command(link.keys, name, worker: link.id), blame: .key) { reply in
            if case .error = reply { self.refusals.note(.key, at: inbox) }
        }
        guard isSent else { return false }
        switch message {
        case .take, .giveBack, .shown: return true
        case .answered, .failed, .refused, .interrupted:
            // For a gateway that never comes back.
            return link.send(RedisCommand("EXPIRE", inbox, Self.inboxLifetime))
        }
    }

    /// Lets attempts go on for a while after the stop was asked for.
    private func drain() async {
        let stop = Bell()
        await withTaskCancellationOrGracefulShutdownHandler {
            _ = await stop.wait()
        } onCancelOrGracefulShutdown: {
            stop.ring(.stop)
        }
        let idle = state.withLock { state in
            state.isDraining = true
            return state.idle.values.flatMap { $0 }
        }
        for slot in idle { slot.bell.ring(.stop) }
        condition.wake()
        bell.ring(.event)
        let running = runningCount
        logger.notice(
            "stopping: no more jobs are taken, running attempts may continue for a while",
            metadata: ["running": .stringConvertible(running), "drain_timeout": "\(DurationText.format(drainTimeout))"]
        )
        await wait(at: drainTimeout) { $0.isIdle }
        let left = state.withLock { state in
            state.isInterrupting = true
            return Array(state.held.values)
        }
        for held in left {
            if case .running = held.phase { held.stop.stop(.serviceStops) }
        }
    }

    private var runningCount: Int {
        state.withLock { $0.runningCount }
    }

    /// Looks every few moments whether something has changed; it does so once in the life of a process.
    private func wait(at most: Duration, until condition: (borrowing State) -> Bool) async {
        let end = ContinuousClock.now + most
        while !state.withLock({ condition($0) }), ContinuousClock.now < end {
            let pause = Bell()
            let deadline = wheel.ring(pause, after: .milliseconds(50))
            _ = await pause.wait()
            wheel.cancel(deadline)
        }
    }

    private func waitForReceipts() async {
        await wait(at: Self.receiptTimeout) { $0.held.isEmpty }
        let left = state.withLock { $0.held.count }
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
                forget(name)
            case (.serviceStops, _):
                log.notice("attempt interrupted, its gateway offers the job again")
                end(name, .interrupted(reason: "its worker stopped"))
            case (nil, .delivered):
                log.debug("attempt completed")
                forget(name)
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
        state.withLock { $0.held[name]?.phase = .ended(message, sent: .now) }
        send(message, name)
    }

    private func forget(_ name: AttemptName) {
        state.withLock { $0.held[name] = nil }
    }

    /// Waits for a job; nil once the worker stops.
    private func next(of model: String) async -> Delivery? {
        let slot = Slot()
        let isDraining = state.withLock { state in
            if !state.isDraining { state.idle[model, default: []].append(slot) }
            return state.isDraining
        }
        if isDraining { return nil }
        condition.wake()
        while true {
            let rings = await slot.bell.wait()
            if let delivery = slot.delivery.withLock({ $0 }) { return delivery }
            guard rings.contains(.stop) else { continue }
            let wasIdle = state.withLock { state -> Bool in
                guard let index = state.idle[model]?.firstIndex(where: { $0 === slot }) else { return false }
                state.idle[model]?.remove(at: index)
                return true
            }
            if wasIdle { return nil }
        }
    }

    /// Asks the gateway for the job: it commits before it says go.
    ///
    /// - Returns: what may stop the attempt, or nil: it is not ours.
    private func ask(_ delivery: Delivery) async -> StopSignal? {
        let name = delivery.name
        let slot = Slot()
        let stop = StopSignal()
        let known = state.withLock { state in
            defer {
                if state.held[name] == nil {
                    state.held[name] = Held(phase: .asking(slot), model: delivery.offer.model, stop: stop)
                }
            }
            return state.held[name]
        }
        let take = WorkerMessage.take(entry: delivery.entry, model: delivery.offer.model, isProbe: delivery.isProbe)
        if known != nil {
            // Offered twice. The gateway deletes what it is asked for, so that this entry need not lie there until it
            // counts as lost; and should the first question be lost, the slot that waits gets the answer to this one.
            send(take, name)
            return nil
        }
        guard send(take, name) else {
            forget(name)
            return nil
        }
        let deadline = wheel.ring(slot.bell, after: Self.answerTime)
        _ = await slot.bell.wait()
        wheel.cancel(deadline)
        return state.withLock { state in
            if case .running = state.held[name]?.phase { return stop }
            state.held[name] = nil
            return nil
        }
    }
}
