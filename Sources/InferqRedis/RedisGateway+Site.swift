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
        if let found = found?.bytes, let other = GatewayHeartbeat(found), other.session != link.id {
            throttle.log(
                logger, .error,
                "another gateway with a copy of this store uses the same redis: give one of them an empty store",
                metadata: ["url": "\(other.url)"]
            )
        }
        let heartbeat = GatewayHeartbeat(
            url: publicURL(), models: queue.models.map(\.name), session: link.id,
            patience: Int(link.settings.workerTimeout.milliseconds)
        )
        let lifetime = String(link.settings.workerTimeout.milliseconds)
        link.send(RedisCommand("SET", key, heartbeat.text, "PX", lifetime))
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
        site.setGateways(urls)
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
        await buryDead(alive)
        for id in absent where !listed.contains(id) || isDead(id) {
            await broker.forget(worker: id)
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
        queue.scheduler.setSlotsElsewhere(slots(of: usable), away: newest)
        site.workers = usable.map { id, told in
            Site.Worker(
                id: id, name: told.name, host: told.host, slots: told.slots, away: away[id] ?? [:],
                jobs: (told.attempts[instance] ?? []).compactMap { AttemptName(gateway: instance, short: $0)?.job }
            )
        }
    }

    /// Puts back what dead workers held. A death of a worker's own counts against the jobs that it ran, as a crash of the
    /// gateway does against those that ran here: see "The poison guard" in docs/job-lifecycle.md.
    private func buryDead(_ alive: [String: WorkerHeartbeat]) async {
        let dead = Dictionary(grouping: elsewhere.all.filter { alive[$0.worker] == nil && isDead($0.worker) }) {
            $0.worker
        }
        for (worker, runs) in dead {
            let (isCrash, servedOthers) = state.withLock { state in
                (
                    state.workers.hasCrashed(worker, boot: bootID),
                    state.workers.servedOthers(worker, but: instance)
                )
            }
            for run in runs {
                logger.warning(
                    "a worker is dead: its heartbeat has stopped",
                    metadata: ["worker": "\(worker)", "job_id": "\(run.claim.job.id)"]
                )
                guard isCrash else {
                    await elsewhere.tryToInterrupt(run, reason: "its worker died")
                    continue
                }
                let isAlone =
                    !servedOthers && runs.count { $0.claim.job.isSuspect } == 1
                    && runs.count { $0.claim.job.model == run.claim.job.model } == 1
                await elsewhere.tryToCrash(run, wasAlone: isAlone)
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
            a worker gets no jobs: its broker.heartbeat is more than half of broker.worker_timeout here; lower the one \
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

    /// Whether a worker without a heartbeat is gone for good.
    private func isDead(_ worker: String) -> Bool {
        // What it has said before its end comes first.
        !isHeard(worker) && state.withLock { $0.workers.isDead(worker, now: .now) }
    }

    /// Whether something that a worker has said is being worked on.
    private func isHeard(_ worker: String) -> Bool {
        state.withLock { $0.inProcess.values.contains(worker) }
    }

    /// What a worker that lives holds, against what the store says: either may have missed a word of the other.
    private func compare(_ alive: [String: WorkerHeartbeat]) async {
        let runs = elsewhere.all.map { run in
            WorkerWatch.Run(
                name: AttemptName(gateway: instance, job: run.claim.job.id, lease: run.claim.lease),
                worker: run.worker, since: run.since
            )
        }
        let unknown = state.withLock { $0.workers.unknown(runs, alive, now: .now) }
        for found in unknown where !isHeard(found.worker) {
            guard let run = elsewhere.run(of: found.name.job.key, found.name.lease) else { continue }
            await elsewhere.tryToInterrupt(run, reason: "its worker does not know of it")
        }
        for (worker, told) in alive {
            for short in told.attempts[instance] ?? [] {
                guard let name = AttemptName(gateway: instance, short: short) else { continue }
                if elsewhere.run(of: name.job.key, name.lease) == nil { tell(.stop, name, worker) }
            }
        }
    }
}
