import InferqCore
import InferqQueue
import Logging

/// Looks after what was offered and not taken: whatever becomes of it in Redis, it is offered again.
struct LostOffers: Sendable {
    private let broker: RedisBroker
    private let link: RedisLink
    private let logger: Logger
    private let throttle = LogThrottle()

    /// An entry that was read and not asked for within this time is offered again: its reader is dead, or its messages were
    /// lost.
    private static let lostAfter = Duration.seconds(12)
    /// Offers that are read at a time to see whether they are there: with a body each, 1 MiB.
    private static let pageLimit = 16

    init(broker: RedisBroker, logger: Logger) {
        self.broker = broker
        self.logger = logger
        link = broker.link
    }

    /// Offers again what a reader has taken from a stream and then not asked for, and what has vanished from it.
    func look() async {
        for model in broker.offeredModels {
            let key = broker.key(of: model)
            let lostAfter = String(Self.lostAfter.milliseconds)
            await offerAnew(
                model, RedisCommand("XPENDING", key, RedisKeys.group, "IDLE", lostAfter, "-", "+", "100"))
            await lookForVanished(model, key)
        }
    }

    /// Offers again what is no longer in its stream, though no worker has taken it (XTRIM, XDEL, another program's DEL).
    private func lookForVanished(_ model: String, _ key: String) async {
        let before = broker.outstanding(of: model)
        guard !before.isEmpty, let length = await link.ask(RedisCommand("XLEN", key))?.integer else { return }
        // What was taken meanwhile left the book before it left the stream.
        func left() -> [Offer: String] {
            broker.outstanding(of: model).filter { before[$0.key] == $0.value }
        }
        guard length < left().count else { return }
        var there: Set<String> = []
        var begin = "-"
        while true {
            let page = RedisCommand("XRANGE", key, begin, "+", "COUNT", String(Self.pageLimit))
            guard let entries = await link.ask(page)?.elements else { return }
            let ids = entries.compactMap { $0.elements.first?.text }
            there.formUnion(ids)
            guard let last = ids.last, ids.count == Self.pageLimit else { break }
            begin = "(" + last
        }
        let gone = left().filter { !there.contains($0.value) }.map(\.key)
        guard !gone.isEmpty else { return }
        throttle.log(
            logger, .warning, "offers have vanished from redis and are made again", of: model,
            metadata: ["model": "\(model)", "offers": .stringConvertible(gone.count)]
        )
        broker.lose(gone)
    }

    /// Offers again what a worker that is gone had read, and forgets the worker.
    func forget(worker: String) async {
        for model in broker.preparedModels {
            let key = broker.key(of: model)
            await offerAnew(model, RedisCommand("XPENDING", key, RedisKeys.group, "-", "+", "1000", worker))
            link.send(RedisCommand("XGROUP", "DELCONSUMER", key, RedisKeys.group, worker))
        }
    }

    private func offerAnew(_ model: String, _ pending: RedisCommand) async {
        guard let reply = await link.ask(pending) else { return }
        let entries = Set(reply.elements.compactMap { $0.elements.first?.text })
        guard !entries.isEmpty else { return }
        let lost = broker.outstanding(of: model).filter { entries.contains($0.value) }.map(\.key)
        for entry in entries { broker.delete(entry, of: model) }
        broker.lose(lost)
    }
}
