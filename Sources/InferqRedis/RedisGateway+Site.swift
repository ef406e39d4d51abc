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
                if round % 2 == 0 { await showOneself() }
                await lookAtWorkers(session)
                await lookAtGateways()
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

    private func showOneself() async {
        let key = link.keys.gateway(instance)
        let wasShown = state.withLock { state in
            defer { state.isShown = true }
            return state.isShown
        }
        // Before, it may be that of the process before this one.
        if wasShown, let found = await link.ask(RedisCommand("GET", key))?.bytes,
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

    /// The members of a set with what each tells of itself: nil for one whose heartbeat is too old.
    private func heartbeats(_ set: String, _ key: (String) -> String) async -> [(id: String, bytes: [UInt8]?)]? {
        guard let members = await link.ask(RedisCommand("SMEMBERS", set)) else { return nil }
        let ids = members.elements.compactMap(\.text)
        guard !ids.isEmpty else { return [] }
        guard let values = await link.ask(RedisCommand(["MGET"] + ids.map(key))) else { return nil }
        return zip(ids, values.elements).map { ($0, $1.bytes) }
    }

    private func lookAtGateways() async {
        guard let found = await heartbeats(link.keys.gateways, link.keys.gateway) else { return }
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
        guard let found = await heartbeats(link.keys.workers, link.keys.worker), link.session == session else { return }
        var alive: [String: WorkerHeartbeat] = [:]
        for (id, bytes) in found {
            if let bytes, let told = HeartbeatText.read(WorkerHeartbeat.self, bytes) { alive[id] = told }
        }
        state.withLock { $0.seen.formUnion(alive.keys) }
        let known = Set(queue.models.map(\.name))
        var slots: [String: Int] = [:]
        for (model, count) in alive.values.flatMap(\.slots) where known.contains(model) {
            slots[model, default: 0] += max(0, count)
        }
        for (id, bytes) in found where bytes == nil && isDead(id) {
            await broker.forget(worker: id, models: known)
            link.send(RedisCommand("SREM", link.keys.workers, id))
            link.send(RedisCommand("DEL", link.keys.inbox(ofWorker: id)))
        }
        for run in elsewhere.all where alive[run.worker] == nil && isDead(run.worker) {
            logger.warning(
                "a worker is dead: its heartbeat has stopped",
                metadata: ["worker": "\(run.worker)", "job_id": "\(run.claim.job.id)"]
            )
            _ = await elsewhere.interrupt(run.claim.job.key, run.claim.lease, reason: "its worker died")
        }
        await compare(alive)
        queue.scheduler.setSlotsElsewhere(slots)
        site.workers = alive.map { id, told in
            Site.Worker(
                id: id, name: told.name, host: told.host, slots: told.slots,
                jobs: (told.attempts[instance] ?? []).compactMap { AttemptName(gateway: instance, short: $0)?.job }
            )
        }
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
                _ = await elsewhere.interrupt(name.job.key, name.lease, reason: "its worker does not know of it")
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
