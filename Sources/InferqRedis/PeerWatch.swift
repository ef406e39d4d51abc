import InferqCore
import InferqQueue
import Logging
import ServiceLifecycle
import Synchronization

/// Publishes this gateway's heartbeat, looks at those of the other gateways and of the workers, and puts back what dead
/// workers held.
final class PeerWatch: Sendable {
    private struct State {
        /// Whether this process has published a heartbeat in this session.
        var isShown = false
        var hadSession = false
        var workers = WorkerWatch()
    }

    private let link: RedisLink
    private let broker: RedisBroker
    private let gateway: RedisGateway
    private let lostOffers: LostOffers
    private let remoteAttempts: RemoteAttempts
    private let peers: Peers
    private let wheel: TimerWheel
    /// Of the kernel: see ``WorkerHeartbeat/boot``.
    private let bootID: String
    private let refusals: RedisRefusals
    private let logger: Logger
    private let throttle = LogThrottle()
    /// For what would be said again with each heartbeat.
    private let onceAnHour = LogThrottle(limit: 1, period: .seconds(3600))
    private let state = Mutex(State())
    private let bell: Bell

    /// - Parameter bell: rung to look at once.
    init(
        broker: RedisBroker,
        gateway: RedisGateway,
        remoteAttempts: RemoteAttempts,
        peers: Peers,
        bell: Bell,
        wheel: TimerWheel,
        bootID: String,
        logger: Logger
    ) {
        link = broker.link
        lostOffers = LostOffers(broker: broker, logger: logger)
        refusals = RedisRefusals(logger: logger, peers: peers)
        self.broker = broker
        self.gateway = gateway
        self.remoteAttempts = remoteAttempts
        self.peers = peers
        self.bell = bell
        self.wheel = wheel
        self.bootID = bootID
        self.logger = logger
    }

    private var queue: JobQueue { remoteAttempts.queue }
    private var instance: String { queue.store.instance.text }

    /// Warns of a Redis that may lose what is kept in it.
    func prepare(_ connection: RedisConnection) throws(RedisError) {
        guard let policy = try RedisCheck.riskyPolicy(connection) else { return }
        throttle.log(
            logger, .warning,
            "redis may drop keys that inferq needs when it is full: set maxmemory-policy to noeviction",
            metadata: ["maxmemory_policy": "\(policy)"]
        )
    }

    func sessionChanged(_ reachability: RedisLink.Reachability) {
        switch reachability {
        case .up:
            state.withLock { state in
                let isFirst = !state.hadSession && !link.wasAway
                let patience = isFirst ? link.settings.workerTimeout : link.settings.workerGrace
                state.workers.beginSession(patience: patience, now: .now)
                state.hadSession = true
                state.isShown = false
            }
        case .away:
            // Meanwhile no worker is declared dead, and none is offered anything.
            peers.countOutage()
            queue.scheduler.setRemoteSlots([:])
        }
        bell.ring(.event)
    }

    /// The other gateways, and the workers, need not wait for the last heartbeat to expire.
    func signOff() {
        link.send(RedisCommand("DEL", link.keys.gateway(instance)))
        link.send(RedisCommand("SREM", link.keys.gateways, instance))
    }

    /// Ends on graceful shutdown.
    func run() async {
        var round = 0
        await bell.whileRunning {
            if let session = link.session {
                await publishHeartbeat(session)
                await lookAtWorkers(session)
                await lookAtGateways(session)
                if round % 2 == 1 { await lostOffers.look() }
                round += 1
            } else {
                peers.workers = []
                peers.setGateways([:])
            }
            _ = await wheel.wait(at: bell, atMost: link.settings.heartbeat / 2)
        }
    }

    private func publishHeartbeat(_ session: Int) async {
        let key = link.keys.gateway(instance)
        let wasShown = state.withLock { state in
            defer { state.isShown = true }
            return state.isShown
        }
        // Before, it may be that of the process before this one.
        let found = wasShown ? await link.ask(RedisCommand("GET", key)) : nil
        if found == .null { return link.fail(Self.emptied, in: session) }
        if let found = found?.bytes, let other = GatewayHeartbeat(found), other.session != link.id {
            throttle.log(
                logger, .error,
                "another gateway with a copy of this store uses the same redis: give one of them an empty store",
                metadata: ["url": "\(other.url)"]
            )
        }
        let heartbeat = GatewayHeartbeat(
            url: broker.publicURL(), models: queue.models.map(\.name), session: link.id,
            patience: Int(link.settings.workerTimeout.milliseconds)
        )
        let lifetime = String(link.settings.workerTimeout.milliseconds)
        link.send(RedisCommand("SET", key, heartbeat.text, "PX", lifetime))
        link.send(RedisCommand("SADD", link.keys.gateways, instance))
    }

    /// Emptied behind our back: who is missing then is not dead.
    private static let emptied = RedisError.refused("its keys are gone")

    /// The members of a set with the heartbeat of each: nil for one that is too old.
    ///
    /// - Returns: nil when Redis is away, or was emptied: then our own heartbeat is missing too.
    private func heartbeats(
        _ set: String, _ session: Int, _ key: (String) -> String
    ) async -> [(id: String, bytes: [UInt8]?)]? {
        guard let members = await link.ask(RedisCommand("SMEMBERS", set)) else { return nil }
        let ids = members.elements.compactMap { member -> String? in
            let id = member.bytes.flatMap { PlainText.read($0) }
            if id == nil { refusals.note(.key, at: set) }
            return id
        }
        let own = link.keys.gateway(instance)
        guard let values = await link.ask(RedisCommand(["MGET", own] + ids.map(key)))?.elements else { return nil }
        guard values.first?.bytes != nil else {
            link.fail(Self.emptied, in: session)
            return nil
        }
        return zip(ids, values.dropFirst()).map { ($0, $1.bytes) }
    }

    private func lookAtGateways(_ session: Int) async {
        guard let found = await heartbeats(link.keys.gateways, session, link.keys.gateway) else { return }
        var urls: [UInt16: String] = [:]
        for (id, bytes) in found where id != instance {
            guard let bytes else {
                // It adds itself again if it comes back.
                link.send(RedisCommand("SREM", link.keys.gateways, id))
                continue
            }
            guard let other = InstanceID(id), let told = GatewayHeartbeat(bytes) else {
                refusals.note(.heartbeat, at: link.keys.gateway(id))
                continue
            }
            if other.tag != queue.store.instance.tag, !told.url.isEmpty { urls[other.tag] = told.url }
        }
        peers.setGateways(urls)
    }

    private func lookAtWorkers(_ session: Int) async {
        guard let found = await heartbeats(link.keys.workers, session, link.keys.worker), link.session == session else {
            return
        }
        var alive: [String: WorkerHeartbeat] = [:]
        for (id, bytes) in found {
            guard let bytes else { continue }
            guard PlainText.isPlain(id), let told = WorkerHeartbeat(bytes) else {
                refusals.note(.heartbeat, at: link.keys.worker(id))
                continue
            }
            alive[id] = told
        }
        let listed = Set(found.map(\.id))
        let absent = state.withLock { $0.workers.look(at: alive, listed: listed, now: .now) }
        await putBackDead(alive)
        for id in absent where !listed.contains(id) || isDead(id) {
            await lostOffers.forget(worker: id)
            state.withLock { $0.workers.forget(id) }
            guard listed.contains(id) else { continue }
            link.send(RedisCommand("SREM", link.keys.workers, id))
            link.send(RedisCommand("DEL", link.keys.inbox(ofWorker: id)))
        }
        await compare(alive)
        let usable = alive.filter { isUsable($0.value) }
        let away = usable.mapValues { told in (told.away ?? [:]).mapValues { $0.summary(of: told.name) } }
        // Of several that are away, the one that has been so for the shortest time.
        let newest = away.values.reduce(into: [:]) { all, one in
            all.merge(one) { $0.since > $1.since ? $0 : $1 }
        }
        queue.scheduler.setRemoteSlots(slots(of: usable), away: newest)
        peers.workers = usable.map { id, told in
            Peers.Worker(
                id: id, name: told.name, host: told.host, slots: told.slots, away: away[id] ?? [:],
                jobs: (told.attempts[instance] ?? []).compactMap { AttemptName(gateway: instance, short: $0)?.job }
            )
        }
    }

    /// Puts back what dead workers held. A death of a worker's own counts against the jobs that it ran, as a crash of the
    /// gateway does against those that ran here: see "The poison guard" in docs/job-lifecycle.md.
    private func putBackDead(_ alive: [String: WorkerHeartbeat]) async {
        let dead = Dictionary(grouping: remoteAttempts.all.filter { alive[$0.worker] == nil && isDead($0.worker) }) {
            $0.worker
        }
        for (worker, attempts) in dead {
            let (isCrash, servedOthers) = state.withLock { state in
                (
                    state.workers.hasCrashed(worker, boot: bootID),
                    state.workers.servedOthers(worker, but: instance)
                )
            }
            for attempt in attempts {
                logger.warning(
                    "a worker is dead: its heartbeat has stopped",
                    metadata: ["worker": "\(worker)", "job_id": "\(attempt.claim.job.id)"]
                )
                guard isCrash else {
                    await remoteAttempts.tryToInterrupt(attempt, reason: "its worker died")
                    continue
                }
                let isAlone =
                    !servedOthers && attempts.count { $0.claim.job.isSuspect } == 1
                    && attempts.count { $0.claim.job.model == attempt.claim.job.model } == 1
                await remoteAttempts.tryToCrash(attempt, wasAlone: isAlone)
            }
        }
    }

    /// Whether this gateway can tell in time that the worker lives; both announce how often and how long.
    private func isUsable(_ told: WorkerHeartbeat) -> Bool {
        let patience = Int(link.settings.workerTimeout.milliseconds)
        if told.fits(patience) { return true }
        onceAnHour.log(
            logger, .warning,
            """
            a worker gets no jobs: its broker.heartbeat is more than half of broker.worker_timeout here; lower one \
            or raise the other
            """,
            of: told.name,
            metadata: [
                "worker": "\(told.name)", "heartbeat": "\(DurationText.format(.milliseconds(told.interval)))",
                "worker_timeout": "\(DurationText.format(.milliseconds(patience)))",
            ]
        )
        return false
    }

    /// Slots by model that are ours to fill: those that work for other gateways are not, but for one. The offer that waits
    /// for it is what a worker takes by turns; without it, a gateway with few jobs would wait until the others have none.
    private func slots(of alive: [String: WorkerHeartbeat]) -> [String: Int] {
        let models = Set(queue.models.map(\.name))
        let attempts = remoteAttempts.all
        var slots: [String: Int] = [:]
        for (id, told) in alive {
            for (model, count) in told.slots where models.contains(model) {
                let own = attempts.count { $0.worker == id && $0.claim.job.model == model }
                let others = max(0, (told.busy[model] ?? 0) - own)
                slots[model, default: 0] += others == 0 ? count : max(min(own + 1, count), count - others)
            }
        }
        return slots
    }

    /// Whether a worker without a heartbeat is gone for good.
    private func isDead(_ worker: String) -> Bool {
        // The messages that it sent before its end come first.
        !gateway.isProcessing(worker) && state.withLock { $0.workers.isDead(worker, now: .now) }
    }

    /// What a worker that lives holds, against what the store says: either may have missed a message of the other.
    private func compare(_ alive: [String: WorkerHeartbeat]) async {
        let attempts = remoteAttempts.all.map { attempt in
            WorkerWatch.Run(
                name: AttemptName(gateway: instance, job: attempt.claim.job.id, lease: attempt.claim.lease),
                worker: attempt.worker, since: attempt.since
            )
        }
        let unknown = state.withLock { $0.workers.unknown(attempts, alive, now: .now) }
        for found in unknown where !gateway.isProcessing(found.worker) {
            guard let attempt = remoteAttempts.attempt(of: found.name.job.key, found.name.lease) else { continue }
            await remoteAttempts.tryToInterrupt(attempt, reason: "its worker does not know of it")
        }
        for (worker, told) in alive {
            for short in told.attempts[instance] ?? [] {
                guard let name = AttemptName(gateway: instance, short: short) else { continue }
                if remoteAttempts.attempt(of: name.job.key, name.lease) == nil { gateway.send(.stop, name, worker) }
            }
        }
    }
}
