import Foundation
import InferqCore
import InferqQueue
import Logging
import Synchronization

/// What a worker reads: the messages of gateways, and the jobs that they offer.
extension RedisWorker {
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
            for entry in entries { self.receive(entry) }
            try connection.append(RedisCommand(["XDEL", key] + entries.map(\.id)))
            if case .error(let text) = try connection.next() { throw .refused(text) }
            return true
        }
    }

    private func receive(_ entry: StreamEntry) {
        guard let (message, name) = GatewayMessage.read(entry) else { return }
        var ring: Bell?
        var reason = StopSignal.Reason.cancelled
        let stop = state.withLock { state -> StopSignal? in
            guard let held = state.held[name] else { return nil }
            switch (message, held.phase) {
            case (.go, .asking(let slot)):
                state.held[name]?.phase = .running
                ring = slot.bell
                guard state.isInterrupting else { return nil }
                reason = .serviceStops
                return held.stop
            case (.no, .asking(let slot)), (.stop, .asking(let slot)):
                state.held[name] = nil
                ring = slot.bell
            case (.stop, .running): return held.stop
            case (.stop, .ended), (.done, _): state.held[name] = nil
            case (.go, _), (.no, _): break
            }
            return nil
        }
        stop?.stop(reason)
        ring?.ring(.event)
    }

    // MARK: Jobs

    /// Gateways whose jobs of a model a slot waits for, the one whose turn it is first; empty after a while without.
    private func wanted(_ model: String) -> [String] {
        condition.wait(atMost: Self.patience) { () -> [String]? in
            guard servers.mayTake(model) else { return nil }
            return state.withLock { state in
                guard !state.isDraining, state.idle[model]?.isEmpty == false else { return nil }
                let gateways = state.gateways.filter { $0.value.contains(model) }.keys.sorted()
                guard !gateways.isEmpty else { return nil }
                let first = state.nextGateway[model, default: 0] % gateways.count
                state.nextGateway[model] = first + 1
                return Array(gateways[first...] + gateways[..<first])
            }
        } ?? []
    }

    func readJobs(of model: String) {
        link.read("redis-jobs", patience: Self.patience) { connection, _ throws(RedisError) in
            let gateways = self.wanted(model)
            guard !gateways.isEmpty else { return !self.state.withLock { $0.isDraining } }
            var there: [String] = []
            // One by one, so that a gateway with many jobs does not come before one with few.
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
            send(.giveBack(entry: entry.id, model: model), delivery.name)
            return
        }
        let slot = state.withLock { state in
            state.isDraining || state.idle[model]?.isEmpty != false ? nil : state.idle[model]?.removeFirst()
        }
        guard let slot else {
            servers.end(offer.job.key, of: model)
            send(.giveBack(entry: entry.id, model: model), delivery.name)
            return
        }
        slot.delivery.withLock { $0 = delivery }
        slot.bell.ring(.event)
    }
}
