import InferqCore
import Logging
import Synchronization

/// Looking after what was offered and not taken: whatever becomes of it in Redis, it is offered again.
extension RedisBroker {
    /// An entry that was read and not asked for within this time is offered anew: its reader is dead, or its words were
    /// lost.
    private static let lostAfter = Duration.seconds(12)
    /// Offers that are read at a time to see whether they are there: with a body each, 1 MiB.
    private static let pageLimit = 16

    /// Offers anew what a reader has taken from a stream and then not asked for, and what has vanished from it.
    func lookForLostOffers() async {
        for model in state.withLock({ $0.book.models }) {
            let key = link.keys.jobs(of: instance, model)
            let lostAfter = String(Self.lostAfter.milliseconds)
            await offerAnew(
                model, RedisCommand("XPENDING", key, RedisKeys.group, "IDLE", lostAfter, "-", "+", "100"))
            await lookForVanished(model, key)
        }
    }

    /// Offers anew what is not in its stream any more, though nobody has taken it (XTRIM, XDEL, another program's DEL).
    private func lookForVanished(_ model: String, _ key: String) async {
        let before = state.withLock { $0.book.named(of: model) }
        guard !before.isEmpty, let length = await link.ask(RedisCommand("XLEN", key))?.integer else { return }
        // What was taken meanwhile left the book before it left the stream.
        func left() -> [Offer: String] {
            state.withLock { $0.book.named(of: model) }.filter { before[$0.key] == $0.value }
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
            logger, .warning, "offers have vanished from redis, they are made again", of: model,
            metadata: ["model": "\(model)", "offers": .stringConvertible(gone.count)]
        )
        let home = state.withLock { state in
            for offer in gone { state.book.remove(offer) }
            return state.home
        }
        home?.offerAgain(gone)
    }

    /// Offers anew what a worker that is gone had read, and forgets the worker.
    func forget(worker: String) async {
        for model in state.withLock({ $0.prepared }) {
            let key = link.keys.jobs(of: instance, model)
            await offerAnew(model, RedisCommand("XPENDING", key, RedisKeys.group, "-", "+", "1000", worker))
            link.send(RedisCommand("XGROUP", "DELCONSUMER", key, RedisKeys.group, worker))
        }
    }

    private func offerAnew(_ model: String, _ pending: RedisCommand) async {
        guard let reply = await link.ask(pending) else { return }
        let entries = Set(reply.elements.compactMap { $0.elements.first?.text })
        guard !entries.isEmpty else { return }
        let (lost, home) = state.withLock { state in
            let lost = state.book.named(of: model).filter { entries.contains($0.value) }.map(\.key)
            for offer in lost { state.book.remove(offer) }
            return (lost, state.home)
        }
        for entry in entries { delete(entry, of: model) }
        home?.offerAgain(lost)
    }

    /// Before the process ends: nobody shall take what it offers.
    func withdrawAll() {
        for model in state.withLock({ $0.prepared }) {
            link.send(RedisCommand("DEL", link.keys.jobs(of: instance, model)))
        }
    }
}
