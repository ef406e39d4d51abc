import InferqCore
import InferqQueue
import Logging

/// Publishes the worker's heartbeat, and looks at those of gateways.
struct WorkerPresence: Sendable {
    let link: RedisLink
    /// Shown to people.
    let name: String
    let host: String
    /// Of the kernel: see ``WorkerHeartbeat/boot``.
    let bootID: String
    let models: [ModelSettings]
    let ledger: WorkerLedger
    let servers: WorkerServers
    let outbox: WorkerOutbox
    let refusals: RedisRefusals
    let wheel: TimerWheel
    let logger: Logger
    /// Rung when a heartbeat must not wait for its time.
    let bell: Bell
    /// For what is seen again at each look.
    private let onceAnHour = LogThrottle(limit: 1, period: .seconds(3600))

    /// Runs until its task is cancelled.
    func publishHeartbeat() async {
        while !Task.isCancelled {
            if link.session != nil {
                beat()
                await lookAtGateways()
                resendOutcomes()
            }
            _ = await wheel.wait(at: bell, atMost: link.settings.heartbeat / 2)
        }
    }

    private func beat() {
        let beat = ledger.beat()
        let heartbeat = WorkerHeartbeat(
            name: name,
            host: host,
            slots: beat.isDraining
                ? [:] : Dictionary(uniqueKeysWithValues: models.map { ($0.name, servers.slots(of: $0)) }),
            busy: beat.busy,
            attempts: Dictionary(grouping: beat.attempts, by: \.gateway).mapValues { $0.map(\.short).sorted() },
            interval: Int(link.settings.heartbeat.milliseconds), beat: beat.number, boot: bootID,
            away: servers.away.mapValues(WorkerHeartbeat.Away.init)
        )
        let lifetime = String(link.settings.workerTimeout.milliseconds)
        link.send(RedisCommand("SET", link.keys.worker(link.id), heartbeat.text, "PX", lifetime))
        link.send(RedisCommand("SADD", link.keys.workers, link.id))
        for gateway in beat.informed {
            link.send(RedisCommand("XADD", link.keys.inbox(ofGateway: gateway), "*", "worker", link.id, "word", "look"))
        }
    }

    private func lookAtGateways() async {
        guard let members = await link.ask(RedisCommand("SMEMBERS", link.keys.gateways)) else { return }
        let ids = members.elements.compactMap(\.text).filter { InstanceID($0) != nil }
        var found: [String: Set<String>] = [:]
        var isAnyoneThere = false
        if !ids.isEmpty {
            guard let values = await link.ask(RedisCommand(["MGET"] + ids.map(link.keys.gateway))) else { return }
            for (id, value) in zip(ids, values.elements) {
                guard let bytes = value.bytes else { continue }
                guard let told = GatewayHeartbeat(bytes) else {
                    refusals.note(.heartbeat, at: link.keys.gateway(id))
                    continue
                }
                isAnyoneThere = true
                if isPatient(told) { found[id] = Set(told.models) }
            }
        }
        let own = Set(models.map(\.name))
        let unmatched = ledger.saw(found, own: own)
        // A gateway that uses this Redis has published a heartbeat by then.
        if let unmatched, unmatched > link.settings.workerTimeout {
            if !isAnyoneThere { warnNoGateway() } else if !found.isEmpty { warnNoCommonModel() }
        }
    }

    /// Whether a gateway waits for two heartbeats of this worker at least; both announce how long and how often.
    private func isPatient(_ gateway: GatewayHeartbeat) -> Bool {
        let heartbeat = link.settings.heartbeat
        if heartbeat <= .milliseconds(gateway.patience / 2) { return true }
        onceAnHour.log(
            logger, .warning,
            """
            no jobs are taken from a gateway: broker.heartbeat is more than half of its broker.worker_timeout; lower \
            one or raise the other
            """,
            of: gateway.url,
            metadata: [
                "gateway": "\(gateway.url)", "heartbeat": "\(DurationText.format(heartbeat))",
                "worker_timeout": "\(DurationText.format(.milliseconds(gateway.patience)))",
            ]
        )
        return false
    }

    private func warnNoGateway() {
        onceAnHour.log(
            logger, .warning,
            "no gateway is seen in this redis: compare broker.redis, its database and broker.prefix with the gateways'",
            metadata: [
                "redis": "\(link.address.place)", "database": .stringConvertible(link.address.database),
                "prefix": "\(link.settings.prefix)",
            ]
        )
    }

    private func warnNoCommonModel() {
        onceAnHour.log(
            logger, .warning, "no gateway in this redis has a model of this worker: compare the models' names",
            metadata: ["models": .array(models.map { "\($0.name)" })]
        )
    }

    private func resendOutcomes() {
        for (name, message) in ledger.lateOutcomes() { outbox.send(message, name) }
    }
}
