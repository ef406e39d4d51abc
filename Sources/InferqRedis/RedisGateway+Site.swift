import InferqCore
import Logging
import ServiceLifecycle
import Synchronization

/// Who is there: this gateway tells of itself, looks at the others and at the workers, and puts back what dead workers held.
extension RedisGateway {
    func watch() async {
        var round = 0
        while !Task.isShuttingDownGracefully, !Task.isCancelled {
            if let session = link.session {
                await showOneself(session)
                await lookAtWorkers(session)
                await lookAtGateways(session)
                if round % 2 == 1 { await broker.lookForLostOffers() }
                round += 1
            } else {
                site.workers = []
                site.setGateways([:])
            }
            let deadline = wheel.ring(bell, after: link.settings.heartbeat / 2)
            _ = await bell.wait()
            wheel.cancel(deadline)
        }
    }

    private func showOneself(_ session: Int) async {
        let key = link.keys.gateway(instance)
        let wasShown = state.withLock { state in
            defer { state.isShown = true }
            return state.isShown
        }
        // Before, it may be that of the process before this one.
        let found = wasShown ? await link.ask(RedisCommand("GET", key)) : nil
        if found == .null { return link.fail(Self.emptied, in: session) }
        if let found = found?.bytes,
            let other = HeartbeatText.read(GatewayHeartbeat.self, found), other.session != link.id
        {
            throttle.log(
                logger, .error,
                "another gateway with a copy of this store uses the same redis: give one of them an empty store",
                metadata: ["url": "\(other.url)"]
            )
        }
        let heartbeat = GatewayHeartbeat(url: publicURL(), models: queue.models.map(\.name), session: link.id)
        let lifetime = String(link.settings.deadAfter.milliseconds)
        link.send(RedisCommand("SET", key, HeartbeatText.text(heartbeat), "PX", lifetime))
        link.send(RedisCommand("SADD", link.keys.gateways, instance))
    }

    /// Emptied behind our back: whoever is missing then is not dead.
    private static let emptied = RedisError.refused("its keys are gone")

    /// The members of a set with what each tells of itself: nil for one whose heartbeat is too old.
    ///
    /// - Returns: nil when Redis is away, or was emptied: then our own heartbeat is not there either.
    private func heartbeats(
        _ set: String, _ session: Int, _ key: (String) -> String
    ) async -> [(id: String, bytes: [UInt8]?)]? {
        guard let members = await link.ask(RedisCommand("SMEMBERS", set)) else { return nil }
        let ids = members.elements.compactMap(\.text)
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
            guard let other = InstanceID(id), let told = HeartbeatText.read(GatewayHeartbeat.self, bytes) else {
                continue
            }
            if other.tag != queue.store.instance.tag, !told.url.isEmpty { urls[other.tag] = told.url }
        }
        site.setGateways(urls)
    }

    private func lookAtWorkers(_ session: Int) async {
        guard let found = await heartbeats(link.keys.workers, session, link.keys.worker), link.session == session else {
            return
        }
        var alive: [String: WorkerHeartbeat] = [:]
        for (id, bytes) in found {
            if let bytes, let told = HeartbeatText.read(WorkerHeartbeat.self, bytes) { alive[id] = told }
        }
        let listed = Set(found.map(\.id))
        let absent = state.withLock { state in
            state.seen.formUnion(alive.keys)
            state.known.formUnion(alive.keys)
            return state.known.union(listed).subtracting(alive.keys)
        }
        for id in absent where !listed.contains(id) || isDead(id) {
            await broker.forget(worker: id)
            state.withLock { _ = $0.known.remove(id) }
            guard listed.contains(id) else { continue }
            link.send(RedisCommand("SREM", link.keys.workers, id))
            link.send(RedisCommand("DEL", link.keys.inbox(ofWorker: id)))
        }
        for run in elsewhere.all where alive[run.worker] == nil && isDead(run.worker) {
            logger.warning(
                "a worker is dead: its heartbeat has stopped",
                metadata: ["worker": "\(run.worker)", "job_id": "\(run.claim.job.id)"]
            )
            await elsewhere.tryToInterrupt(run, reason: "its worker died")
        }
        await compare(alive)
        queue.scheduler.setSlotsElsewhere(slots(of: alive))
        site.workers = alive.map { id, told in
            Site.Worker(
                id: id, name: told.name, host: told.host, slots: told.slots,
                jobs: (told.attempts[instance] ?? []).compactMap { AttemptName(gateway: instance, short: $0)?.job }
            )
        }
    }

    /// Slots by model that are ours to fill: those that work for other gateways are not.
    private func slots(of alive: [String: WorkerHeartbeat]) -> [String: Int] {
        let models = Set(queue.models.map(\.name))
        let runs = elsewhere.all
        var slots: [String: Int] = [:]
        for (id, told) in alive {
            for (model, count) in told.slots where models.contains(model) {
                let own = runs.count { $0.worker == id && $0.claim.job.model == model }
                slots[model, default: 0] += max(0, count - max(0, (told.busy[model] ?? 0) - own))
            }
        }
        return slots
    }

    /// Whether a worker without a heartbeat is gone for good. One that has not shown itself since Redis came back has
    /// some time to do so; so has every one when this process begins.
    private func isDead(_ worker: String) -> Bool {
        state.withLock { state in
            // What it has said before its end comes first.
            guard !state.inProcess.values.contains(worker) else { return false }
            if state.seen.contains(worker) { return true }
            let patience = state.isFirstSession ? link.settings.deadAfter : link.settings.grace
            return ContinuousClock.now - state.sessionBegin > patience
        }
    }

    /// Whether something that a worker has said is being worked on.
    private func isHeard(_ worker: String) -> Bool {
        state.withLock { $0.inProcess.values.contains(worker) }
    }

    /// What a worker that lives holds, against what the store says: either may have missed a word of the other.
    private func compare(_ alive: [String: WorkerHeartbeat]) async {
        let now = ContinuousClock.now
        var missing: [AttemptName: ContinuousClock.Instant] = [:]
        let before = state.withLock { $0.missing }
        for run in elsewhere.all {
            let name = AttemptName(gateway: instance, job: run.claim.job.id, lease: run.claim.lease)
            guard let told = alive[run.worker], told.attempts[instance]?.contains(name.short) != true else { continue }
            let since = before[name] ?? now
            if now - since > Self.silence, now - run.since > Self.silence, !isHeard(run.worker) {
                await elsewhere.tryToInterrupt(run, reason: "its worker does not know of it")
            } else {
                missing[name] = since
            }
        }
        for (worker, told) in alive {
            for short in told.attempts[instance] ?? [] {
                guard let name = AttemptName(gateway: instance, short: short) else { continue }
                if elsewhere.run(of: name.job.key, name.lease) == nil { tell(.stop, name, worker) }
            }
        }
        state.withLock { $0.missing = missing }
    }
}
