import Foundation
package import InferqCore
package import Logging
import ServiceLifecycle
import Synchronization

/// The gateway's side of workers on other hosts: hears what they say, watches that they live, and tells who it is.
package final class RedisGateway: Service {
    private struct Inbound: Sendable {
        let entry: StreamEntry
        /// Whether it was there when the session began.
        let isOld: Bool
    }

    struct State {
        /// The entry to read on after, and the newest one when the session began.
        var cursor = "0-0"
        var oldest = StreamID.zero
        var session = 0
        /// Whether this process has told of itself in this session.
        var isShown = false
        /// Entries that are being worked on, with the worker that said them: a new session must not read them again.
        var inProcess: [String: String] = [:]
        /// Attempts whose outcome is being worked on.
        var ending: Set<AttemptName> = []
        var workers = WorkerWatch()
    }

    let link: RedisLink
    let broker: RedisBroker
    let elsewhere: AttemptsElsewhere
    let site: Site
    let wheel: TimerWheel
    let publicURL: @Sendable () -> String
    /// Of the kernel: see ``WorkerHeartbeat/boot``.
    let bootID: String
    let refusals: RedisRefusals
    /// Makes an answer's bytes what the store keeps: large ones become a file, layers are found.
    private let keep: @Sendable (Reply.Answer, ModelSettings) async throws -> Outcome
    let logger: Logger
    let throttle = LogThrottle()
    /// For what is said again with each heartbeat.
    let onceAnHour = LogThrottle(limit: 1, period: .seconds(3600))
    let state = Mutex(State())
    let bell = Bell()
    private let (inbound, inbox) = AsyncStream.makeStream(of: Inbound.self)

    private static let patience = Duration.milliseconds(500)
    /// Seconds for which a word waits for its worker.
    private static let inboxLifetime = "3600"
    /// Words that are worked on at a time; more stay in Redis.
    private static let inProcessLimit = 1024

    package init(
        link: RedisLink,
        broker: RedisBroker,
        elsewhere: AttemptsElsewhere,
        site: Site,
        wheel: TimerWheel,
        publicURL: @escaping @Sendable () -> String,
        bootID: String,
        logger: Logger,
        keep: @escaping @Sendable (Reply.Answer, ModelSettings) async throws -> Outcome
    ) {
        self.link = link
        self.broker = broker
        self.elsewhere = elsewhere
        self.site = site
        self.wheel = wheel
        self.publicURL = publicURL
        self.bootID = bootID
        self.logger = logger
        refusals = RedisRefusals(logger: logger) { site.count(refused: $0) }
        self.keep = keep
        let queue = elsewhere.queue
        // Before the broker's: while Redis is away, workers have no slots that anything could be offered to.
        link.whenTurning(
            RedisLink.Turns(
                prepare: { connection throws(RedisError) in try self.prepare(connection) },
                changed: { self.turned($0) }
            )
        )
        broker.attach(
            RedisBroker.Home(
                models: { queue.models.map(\.name) },
                room: queue.scheduler.room,
                describe: { offers in
                    let url = publicURL()
                    return try await elsewhere.due(offers).map { job in
                        let token = NotifyToken(job.key, job.nextLease).text(queue.store.secret)
                        return JobOffer(job, gatewayURL: url, token: token)
                    }
                },
                withdrawn: queue.scheduler.withdrawn,
                offerAgain: queue.scheduler.offerAgain,
                offerAllAgain: queue.scheduler.offerAllAgain,
                roomAgain: queue.scheduler.roomAgain
            )
        )
        for run in elsewhere.all { elsewhere.watch(run) { self.tell(.stop, $0) } }
    }

    var instance: String { elsewhere.queue.store.instance.text }
    var queue: JobQueue { elsewhere.queue }

    /// Runs until the graceful shutdown; what runs at workers goes on there. Redis is looked for once the link is started:
    /// when it is known how workers reach the gateway.
    package func run() async throws {
        readInbox()
        await withTaskCancellationOrGracefulShutdownHandler {
            await withDiscardingTaskGroup { group in
                group.addTask { await self.watch() }
                for await word in inbound { group.addTask { await self.hear(word) } }
            }
        } onCancelOrGracefulShutdown: {
            self.inbox.finish()
            self.bell.ring(.stop)
        }
        broker.withdrawAll()
        link.send(RedisCommand("DEL", link.keys.gateway(instance)))
        link.send(RedisCommand("SREM", link.keys.gateways, instance))
        await link.flush()
        link.stop()
    }

    // MARK: Turns

    private func prepare(_ connection: RedisConnection) throws(RedisError) {
        let newest = try connection.run(
            RedisCommand("XREVRANGE", link.keys.inbox(ofGateway: instance), "+", "-", "COUNT", "1")
        )
        let oldest = newest.elements.first.flatMap { StreamEntry($0) }.flatMap { StreamID($0.id) } ?? .zero
        state.withLock { state in
            state.cursor = "0-0"
            state.oldest = oldest
        }
        if let policy = try RedisCheck.riskyPolicy(connection) {
            throttle.log(
                logger, .warning,
                "redis may drop keys that inferq needs when it is full: set maxmemory-policy to noeviction",
                metadata: ["maxmemory_policy": "\(policy)"]
            )
        }
    }

    private func turned(_ standing: RedisLink.Standing) {
        switch standing {
        case .up(let session):
            state.withLock { state in
                let isFirst = state.session == 0 && !link.wasAway
                let patience = isFirst ? link.settings.workerTimeout : link.settings.workerGrace
                state.workers.beginSession(patience: patience, now: .now)
                state.session = session
                state.isShown = false
            }
        case .away:
            // Nobody is declared dead meanwhile, and nobody is offered anything.
            site.countOutage()
            queue.scheduler.setSlotsElsewhere([:])
        }
        bell.ring(.event)
    }

    // MARK: What workers say

    private func readInbox() {
        let key = link.keys.inbox(ofGateway: instance)
        link.read("redis-inbox", patience: Self.patience) { connection, _ throws(RedisError) in
            let (cursor, oldest, room) = self.state.withLock { state in
                (state.cursor, state.oldest, Self.inProcessLimit - state.inProcess.count)
            }
            guard room > 0 else {
                // Too much to do: the rest stays in Redis.
                _ = try connection.run(RedisCommand("PING"))
                usleep(100_000)
                return true
            }
            let count = String(min(room, 128))
            let reply = try connection.run(
                RedisCommand(
                    "XREAD", "COUNT", count, "BLOCK", String(Self.patience.milliseconds), "STREAMS", key, cursor
                )
            )
            for entry in StreamEntry.streams(reply).flatMap(\.entries) {
                let isNew = self.state.withLock { state in
                    state.cursor = entry.id
                    return state.inProcess.updateValue(entry.text("worker") ?? "", forKey: entry.id) == nil
                }
                let isOld = (StreamID(entry.id) ?? .zero) <= oldest
                if isNew { self.inbox.yield(Inbound(entry: entry, isOld: isOld)) }
            }
            return true
        }
    }

    private func hear(_ inbound: Inbound) async {
        let entry = inbound.entry
        let isDone = await obeyOnce(entry, isOld: inbound.isOld)
        // Only what is committed is acknowledged; the rest is read again by the next session.
        if isDone { link.send(RedisCommand("XDEL", link.keys.inbox(ofGateway: instance), entry.id)) }
        state.withLock { $0.inProcess[entry.id] = nil }
    }

    /// A worker that was not answered tells an outcome again: the first one is enough.
    private func obeyOnce(_ entry: StreamEntry, isOld: Bool) async -> Bool {
        guard let name = AttemptName(entry, gateway: instance), WorkerWord.isOutcome(entry) else {
            return await obey(entry, isOld: isOld)
        }
        guard state.withLock({ $0.ending.insert(name).inserted }) else { return true }
        defer { state.withLock { _ = $0.ending.remove(name) } }
        return await obey(entry, isOld: isOld)
    }

    private func obey(_ entry: StreamEntry, isOld: Bool) async -> Bool {
        if entry.text("word") == "look" {
            // A worker's model server has gone or come back: its heartbeat says which.
            bell.ring(.event)
            return true
        }
        guard let name = AttemptName(entry, gateway: instance), let worker = entry.text("worker"),
            let word = WorkerWord(entry)
        else {
            refusals.note(.word, at: link.keys.inbox(ofGateway: instance))
            return true
        }
        switch word {
        case .take(let id, let model, let isProbe):
            // Whoever asked before this session has given up waiting.
            if isOld { return true }
            await give(name, Offer(model: model, job: name.job.key), entry: id, to: worker, isProbe: isProbe)
            return true
        case .shown:
            await elsewhere.show(name.job.key, name.lease)
            return true
        case .giveBack(let id, let model):
            let offer = Offer(model: model, job: name.job.key)
            broker.taken(offer, entry: id)
            queue.scheduler.offerAgain([offer])
            return true
        case .answered(let answer):
            return await end(name, worker) { model in try await self.keep(answer, model) }
        case .failed(let failure, let retryAfter):
            return await end(name, worker) { _ in .failed(failure, retryAfter: retryAfter) }
        case .refused(let refusal):
            return await end(name, worker) { _ in .refused(refusal) }
        case .interrupted(let reason):
            guard await elsewhere.interrupt(name.job.key, name.lease, reason: reason) else { return false }
            tell(.done, name, worker)
            return true
        }
    }

    private func give(
        _ name: AttemptName, _ offer: Offer, entry: String, to worker: String, isProbe: Bool
    ) async {
        if let run = elsewhere.run(of: name.job.key, name.lease), run.worker == worker {
            // Asked twice: the answer is the same.
            broker.taken(offer, entry: entry)
            return tell(.go, name, worker)
        }
        let claim = await elsewhere.take(offer, name.lease, for: worker, isProbe: isProbe) { self.tell(.stop, $0) }
        broker.taken(offer, entry: entry)
        tell(claim == nil ? .no : .go, name, worker)
    }

    private func end(
        _ name: AttemptName, _ worker: String, _ outcome: (ModelSettings) async throws -> Outcome
    ) async -> Bool {
        let key = name.job.key
        if let run = elsewhere.run(of: key, name.lease) {
            do {
                let outcome = try await outcome(run.settings)
                guard await elsewhere.finish(key, name.lease, with: outcome) else { return false }
            } catch {
                throttle.log(
                    logger, .error, "an answer could not be stored",
                    metadata: ["job_id": "\(name.job)", "error": "\(error)"]
                )
                return false
            }
        }
        tell(.done, name, worker)
        return true
    }

    func tell(_ word: GatewayWord, _ name: AttemptName, _ worker: String) {
        let inbox = link.keys.inbox(ofWorker: worker)
        link.send(word.command(link.keys, name, worker: worker), blame: .key) { reply in
            if case .error = reply { self.refusals.note(.key, at: inbox) }
        }
        // For a worker that never comes back.
        link.send(RedisCommand("EXPIRE", inbox, Self.inboxLifetime))
    }

    private func tell(_ word: GatewayWord, _ run: AttemptsElsewhere.Run) {
        tell(word, AttemptName(gateway: instance, job: run.claim.job.id, lease: run.claim.lease), run.worker)
    }
}
