import Foundation
package import InferqCore
package import Logging
import ServiceLifecycle
import Synchronization

/// A worker on a host without a store: reads jobs of all gateways, asks for each before it calls, and keeps each outcome
/// until its gateway has stored it.
package final class RedisWorker: Service {
    /// How an attempt went.
    package enum Ending: Sendable {
        case reply(Reply)
        /// The answer went to the gateway by another way, and is stored there.
        case delivered
    }

    /// Makes one attempt. Once the signal says stop, it returns soon; what it returns then does not matter.
    package typealias Call = @Sendable (JobOffer, StopSignal) async -> Ending

    /// What was read of a stream and given to a slot.
    private struct Delivery: Sendable {
        let offer: JobOffer
        let gateway: String
        let entry: String

        var name: AttemptName { AttemptName(gateway: gateway, job: offer.job, lease: offer.lease) }
    }

    /// One slot that waits for a job, or for the answer to its question.
    private final class Slot: Sendable {
        let bell = Bell()
        let delivery = Mutex<Delivery?>(nil)
        let answer = Mutex<GatewayWord?>(nil)
    }

    private struct Held {
        enum Phase {
            case asking(Slot)
            case running
            /// With the moment at which it was last told.
            case ended(WorkerWord, told: ContinuousClock.Instant)
        }

        var phase: Phase
        let stop: StopSignal
    }

    private struct State {
        /// Models of each gateway that lives, by its instance id.
        var gateways: [String: Set<String>] = [:]
        /// Slots that wait, by model.
        var idle: [String: [Slot]] = [:]
        var held: [AttemptName: Held] = [:]
        /// Where the next look for a job of a model begins, so that all gateways are served alike.
        var turns: [String: Int] = [:]
        var isDraining = false

        var runningCount: Int {
            held.values.count { if case .running = $0.phase { true } else { false } }
        }

        /// Nothing runs, and nobody has asked for a job.
        var isIdle: Bool {
            held.values.allSatisfy { if case .ended = $0.phase { true } else { false } }
        }
    }

    private let link: RedisLink
    private let name: String
    private let host: String
    private let models: [ModelSettings]
    private let wheel: TimerWheel
    private let drainTimeout: Duration
    private let call: Call
    private let logger: Logger
    private let throttle = LogThrottle()
    private let state = Mutex(State())
    private let bell = Bell()
    private let condition = NSCondition()

    private static let patience = Duration.milliseconds(500)
    /// An answer to a question comes within this time, or the job is left to others.
    private static let answerTime = Duration.seconds(5)
    /// An outcome whose receipt has not come is told again.
    private static let tellAgain = Duration.seconds(5)
    /// Words that wait for one worker outlive it by this time.
    private static let farewell = Duration.seconds(5)

    /// - Parameters:
    ///   - name: shown to people; its id, the link's, tells it from all others.
    ///   - models: those that it serves, each with a `url`.
    package init(
        link: RedisLink,
        name: String,
        host: String,
        models: [ModelSettings],
        wheel: TimerWheel,
        drainTimeout: Duration,
        logger: Logger,
        call: @escaping Call
    ) {
        self.link = link
        self.name = name
        self.host = host
        self.models = models
        self.wheel = wheel
        self.drainTimeout = drainTimeout
        self.logger = logger
        self.call = call
        link.whenTurning(RedisLink.Turns(changed: { self.turned($0) }))
    }

    /// Takes jobs until the graceful shutdown, and returns when every attempt has ended and its outcome is stored, or the
    /// time for that has passed.
    package func run() async throws {
        for model in models { readJobs(of: model.name) }
        readInbox()
        link.start()
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.showOneself() }
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

    private func turned(_ standing: RedisLink.Standing) {
        if case .up = standing {
            state.withLock { state in
                for (name, held) in state.held {
                    guard case .ended(let word, _) = held.phase else { continue }
                    state.held[name]?.phase = .ended(word, told: .now - Self.tellAgain * 2)
                }
            }
            logger.notice(
                "worker ready",
                metadata: ["worker": "\(name)", "models": .array(models.map { "\($0.name)" })]
            )
        } else {
            state.withLock { $0.gateways = [:] }
        }
        bell.ring(.event)
    }

    private func showOneself() async {
        while !Task.isCancelled {
            if link.session != nil {
                beat()
                await lookAtGateways()
                tellAgain()
            }
            let deadline = wheel.ring(bell, after: link.settings.heartbeat / 2)
            _ = await bell.wait()
            wheel.cancel(deadline)
        }
    }

    private func beat() {
        let (held, isDraining) = state.withLock { state in
            (
                state.held.filter { if case .asking = $0.value.phase { false } else { true } }.map(\.key),
                state.isDraining
            )
        }
        let heartbeat = WorkerHeartbeat(
            name: name,
            host: host,
            slots: isDraining ? [:] : Dictionary(uniqueKeysWithValues: models.map { ($0.name, $0.concurrency) }),
            attempts: Dictionary(grouping: held, by: \.gateway).mapValues { $0.map(\.short).sorted() }
        )
        let lifetime = String(link.settings.deadAfter.milliseconds)
        link.send(
            RedisCommand("SET", link.keys.worker(link.id), HeartbeatText.text(heartbeat), "PX", lifetime)
        )
        link.send(RedisCommand("SADD", link.keys.workers, link.id))
    }

    private func lookAtGateways() async {
        guard let members = await link.ask(RedisCommand("SMEMBERS", link.keys.gateways)) else { return }
        let ids = members.elements.compactMap(\.text)
        var found: [String: Set<String>] = [:]
        if !ids.isEmpty {
            guard let values = await link.ask(RedisCommand(["MGET"] + ids.map(link.keys.gateway))) else { return }
            for (id, value) in zip(ids, values.elements) {
                guard let told = value.bytes.flatMap({ HeartbeatText.read(GatewayHeartbeat.self, $0) }) else {
                    continue
                }
                found[id] = Set(told.models)
            }
        }
        state.withLock { $0.gateways = found }
        wakeReaders()
    }

    private func tellAgain() {
        let now = ContinuousClock.now
        let late = state.withLock { state -> [(AttemptName, WorkerWord)] in
            state.held.compactMap { name, held in
                guard case .ended(let word, let told) = held.phase, now - told > Self.tellAgain else { return nil }
                state.held[name]?.phase = .ended(word, told: now)
                return (name, word)
            }
        }
        for (name, word) in late { say(word, name) }
    }

    @discardableResult
    private func say(_ word: WorkerWord, _ name: AttemptName) -> Bool {
        link.send(word.command(link.keys, name, worker: link.id))
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
        wakeReaders()
        bell.ring(.event)
        let running = runningCount
        logger.notice(
            "stopping: no job is taken any more, running attempts may go on for a while",
            metadata: ["running": .stringConvertible(running), "drain_timeout": "\(DurationText.format(drainTimeout))"]
        )
        await wait(at: drainTimeout) { $0.isIdle }
        for held in state.withLock({ Array($0.held.values) }) {
            if case .running = held.phase { held.stop.stop(.serviceStops) }
        }
    }

    private var runningCount: Int {
        state.withLock { $0.runningCount }
    }

    /// Looks every few moments whether something has come about; it does so once in the life of a process.
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
        await wait(at: Self.farewell) { $0.held.isEmpty }
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
            guard let stop = await ask(delivery) else { continue }
            let log = logger(of: delivery.offer)
            log.debug("attempt started")
            let ending = await call(delivery.offer, stop)
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
            case (nil, .reply(.answered(let bytes, let contentType))):
                log.debug("attempt completed")
                end(name, .answered(bytes, contentType: contentType))
            case (nil, .reply(.failed(let failure, let retryAfter))):
                throttle.log(
                    log, .notice, "attempt failed", of: "\(model) \(failure.code.rawValue)",
                    metadata: ["code": "\(failure.code.rawValue)", "reason": "\(failure.message)"]
                )
                end(name, .failed(failure, retryAfter: retryAfter))
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

    private func end(_ name: AttemptName, _ word: WorkerWord) {
        state.withLock { $0.held[name]?.phase = .ended(word, told: .now) }
        say(word, name)
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
        wakeReaders()
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
        let isNew = state.withLock { state in
            guard state.held[name] == nil else { return false }
            state.held[name] = Held(phase: .asking(slot), stop: stop)
            return true
        }
        guard isNew else { return nil }
        guard say(.take(entry: delivery.entry, model: delivery.offer.model), name) else {
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

    // MARK: What gateways say

    private func readInbox() {
        let key = link.keys.inbox(ofWorker: link.id)
        link.read("redis-inbox", patience: Self.patience) { connection, _ throws(RedisError) in
            // From the beginning: what was read is deleted.
            let reply = try connection.run(
                RedisCommand(
                    "XREAD", "COUNT", "128", "BLOCK", String(Self.patience.milliseconds), "STREAMS", key, "0-0")
            )
            let entries = StreamEntry.streams(reply).flatMap(\.entries)
            guard !entries.isEmpty else { return true }
            for entry in entries { self.hear(entry) }
            try connection.append(RedisCommand(["XDEL", key] + entries.map(\.id)))
            if case .error(let text) = try connection.next() { throw .refused(text) }
            return true
        }
    }

    private func hear(_ entry: StreamEntry) {
        guard let gateway = entry.text("gateway"), let word = entry.text("word").flatMap(GatewayWord.init),
            let name = AttemptName(entry, gateway: gateway)
        else { return }
        var ring: Bell?
        let stop = state.withLock { state -> StopSignal? in
            guard let held = state.held[name] else { return nil }
            switch (word, held.phase) {
            case (.go, .asking(let slot)):
                state.held[name]?.phase = .running
                ring = slot.bell
            case (.no, .asking(let slot)), (.stop, .asking(let slot)):
                state.held[name] = nil
                ring = slot.bell
            case (.stop, .running): return held.stop
            case (.stop, .ended), (.done, _): state.held[name] = nil
            case (.go, _), (.no, _): break
            }
            return nil
        }
        ring?.ring(.event)
        stop?.stop(.cancelled)
    }

    // MARK: Jobs

    private func wakeReaders() {
        condition.lock()
        condition.broadcast()
        condition.unlock()
    }

    /// Gateways whose jobs of a model a slot waits for, the one whose turn it is first; empty after a while without.
    private func wanted(_ model: String) -> [String] {
        func look() -> [String] {
            state.withLock { state in
                guard !state.isDraining, state.idle[model]?.isEmpty == false else { return [] }
                let gateways = state.gateways.filter { $0.value.contains(model) }.keys.sorted()
                guard !gateways.isEmpty else { return [] }
                let turn = state.turns[model, default: 0] % gateways.count
                state.turns[model] = turn + 1
                return Array(gateways[turn...] + gateways[..<turn])
            }
        }
        let deadline = Date(timeIntervalSinceNow: Self.patience / .seconds(1))
        condition.lock()
        defer { condition.unlock() }
        while true {
            let gateways = look()
            if !gateways.isEmpty || !condition.wait(until: deadline) { return gateways }
        }
    }

    private func readJobs(of model: String) {
        link.read("redis-jobs", patience: Self.patience) { connection, _ throws(RedisError) in
            let gateways = self.wanted(model)
            guard !gateways.isEmpty else { return !self.state.withLock { $0.isDraining } }
            var there: [String] = []
            // One by one, so that whoever has many jobs does not come before whoever has few.
            for gateway in gateways {
                guard let found = try self.read([gateway], model, wait: nil, connection) else { continue }
                there.append(gateway)
                if found { return true }
            }
            guard !there.isEmpty else {
                self.state.withLock { state in for gateway in gateways { state.gateways[gateway] = nil } }
                return true
            }
            _ = try self.read(there, model, wait: Self.patience, connection)
            return true
        }
    }

    /// - Returns: whether there was a job; nil when a stream is not there, as after a gateway's end.
    private func read(
        _ gateways: [String], _ model: String, wait: Duration?, _ connection: RedisConnection
    ) throws(RedisError) -> Bool? {
        let streams = Dictionary(uniqueKeysWithValues: gateways.map { (link.keys.jobs(of: $0, model), $0) })
        var words = ["XREADGROUP", "GROUP", RedisKeys.group, link.id, "COUNT", "1"]
        if let wait { words += ["BLOCK", String(wait.milliseconds)] }
        let keys = gateways.map { link.keys.jobs(of: $0, model) }
        try connection.append(RedisCommand(words + ["STREAMS"] + keys + keys.map { _ in ">" }))
        let reply = try connection.next()
        if case .error(let text) = reply {
            guard text.hasPrefix("NOGROUP") || text.hasPrefix("UNBLOCKED") else { throw .refused(text) }
            return nil
        }
        let found = StreamEntry.streams(reply)
        for (stream, entries) in found {
            guard let gateway = streams[stream] else { continue }
            for entry in entries { hand(entry, from: gateway, model) }
        }
        return !found.isEmpty
    }

    private func hand(_ entry: StreamEntry, from gateway: String, _ model: String) {
        guard let offer = JobOffer(entry) else {
            return throttle.log(logger, .error, "a gateway offers what this version does not understand")
        }
        let delivery = Delivery(offer: offer, gateway: gateway, entry: entry.id)
        let slot = state.withLock { state in
            state.isDraining || state.idle[model]?.isEmpty != false ? nil : state.idle[model]?.removeFirst()
        }
        guard let slot else {
            say(.giveBack(entry: entry.id, model: model), delivery.name)
            return
        }
        slot.delivery.withLock { $0 = delivery }
        slot.bell.ring(.event)
    }
}
