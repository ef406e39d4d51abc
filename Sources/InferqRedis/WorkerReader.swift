import InferqCore
import InferqQueue

/// What a worker reads, on threads of its own: the messages of gateways, and the jobs that they offer.
struct WorkerReader: Sendable {
    let link: RedisLink
    let ledger: WorkerLedger
    let servers: WorkerServers
    let outbox: WorkerOutbox
    let refusals: RedisRefusals

    /// How long one read waits for something to come.
    private static let patience = Duration.milliseconds(500)

    // MARK: What gateways say

    func readInbox() {
        let key = link.keys.inbox(ofWorker: link.id)
        link.read("redis-inbox", patience: Self.patience) { connection, _ throws(RedisError) in
            // From the beginning: what was read is deleted.
            let reply = try connection.run(
                RedisCommand(
                    "XREAD", "COUNT", "128", "BLOCK", String(Self.patience.milliseconds), "STREAMS", key, "0-0")
            )
            let entries = StreamEntry.streams(reply).flatMap(\.entries)
            guard !entries.isEmpty else { return true }
            for entry in entries {
                if let (message, name) = GatewayMessage.read(entry) { ledger.receive(message, name) }
            }
            try connection.append(RedisCommand(["XDEL", key] + entries.map(\.id)))
            if case .error(let text) = try connection.next() { throw .refused(text) }
            return true
        }
    }

    // MARK: Jobs

    func readJobs(of model: String) {
        link.read("redis-jobs", patience: Self.patience) { connection, _ throws(RedisError) in
            let gateways = ledger.wanted(model, patience: Self.patience) { servers.mayTake(model) }
            guard !gateways.isEmpty else { return !ledger.isDraining }
            var there: [String] = []
            // One by one, so that a gateway with many jobs does not come before one with few.
            for gateway in gateways {
                guard let found = try read([gateway], model, wait: nil, connection) else { continue }
                there.append(gateway)
                if found { return true }
            }
            guard !there.isEmpty else {
                ledger.lost(gateways)
                return true
            }
            _ = try read(there, model, wait: Self.patience, connection)
            return true
        }
    }

    /// - Returns: whether there was a job; nil when a stream is missing, as after a gateway's end.
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
            if reply.blamesKey {
                for key in keys { refusals.note(.key, at: key) }
                return nil
            }
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
        guard let offer = JobOffer(entry), offer.model == model else {
            // It stays read and not asked for: its gateway looks after it.
            return refusals.note(.offer, at: link.keys.jobs(of: gateway, model))
        }
        let passage = servers.take(offer.job.key, of: model)
        let delivery = Delivery(offer: offer, gateway: gateway, entry: entry.id, isProbe: passage == .probe)
        guard passage != .held else {
            outbox.send(.giveBack(entry: entry.id, model: model), delivery.name)
            return
        }
        guard let slot = ledger.takeSlot(of: model) else {
            servers.end(offer.job.key, of: model)
            outbox.send(.giveBack(entry: entry.id, model: model), delivery.name)
            return
        }
        slot.give(delivery)
    }
}
