import Foundation
import InferqCore
package import InferqQueue
package import InferqStore
package import Logging
import ServiceLifecycle
import Synchronization

/// The broker over Redis Streams, with the ring in its place while Redis is away.
///
/// Each gateway has a stream for each of its models, with one consumer group from which the workers of all hosts read;
/// the slots of this process are one consumer among them. What this process reads lands in the ring, where its slots
/// take it, as they do without Redis: so a take need not know which way its offer came.
///
/// An entry is acknowledged and deleted at once by the taker's gateway, so that a stream holds what was not taken yet,
/// and no more: at most the free slots of the site plus one.
package final class RedisBroker: Broker {
    /// Whose jobs are carried: see ``start(room:onLoss:)``.
    private struct Consumer: Sendable {
        let room: @Sendable (_ model: String) -> Int
        let onLoss: @Sendable (BrokerLoss) -> Void
    }

    private struct State {
        var consumer: Consumer?
        /// Those that have a stream.
        var models: [String]
        var book: OfferBook
        /// Offers that were not sent yet.
        var waiting: [Offer] = []
        /// Models whose stream is there in this session.
        var prepared: Set<String> = []
        var readers: Set<String> = []
        var isClosed = false
    }

    let link: RedisLink
    private let store: JobStore
    let publicURL: @Sendable () -> String
    private let ring: RingBroker
    private let refusals: RedisRefusals
    private let logger: Logger
    private let throttle = LogThrottle()
    private let fullness = LogThrottle(limit: 1)
    private let current: Mutex<State>
    private let sending = Bell()
    private let condition = MonotonicCondition()

    /// How long a read waits in Redis. Its thread ends within this time after a stop or an outage.
    private static let patience = Duration.milliseconds(500)

    /// - Parameters:
    ///   - store: the gateway's: what is sent with an offer is read from it.
    ///   - models: the names of those that have a stream; see ``setModels(_:)``.
    ///   - capacity: offers of one model that may wait for a worker.
    ///   - peers: counts what was found in Redis and not understood.
    ///   - publicURL: how workers reach the gateway over HTTP; it is known before the first offer.
    package init(
        link: RedisLink,
        store: JobStore,
        models: [String],
        capacity: Int,
        peers: Peers,
        logger: Logger,
        publicURL: @escaping @Sendable () -> String
    ) {
        self.link = link
        self.store = store
        self.publicURL = publicURL
        self.logger = logger
        refusals = RedisRefusals(logger: logger, peers: peers)
        current = Mutex(State(models: models, book: OfferBook(capacity: capacity)))
        ring = RingBroker(capacity: capacity)
    }

    /// Whether jobs go through the ring while Redis is away; otherwise they wait.
    private var ringTakesOver: Bool { link.outage == .ringTakesOver }

    package var state: BrokerState {
        switch link.reachability {
        case .up: .redis
        case .away(let since):
            .redisAway(since: since, reason: link.trouble, ringTakesOver: ringTakesOver)
        }
    }

    package func start(
        room: @escaping @Sendable (_ model: String) -> Int, onLoss: @escaping @Sendable (BrokerLoss) -> Void
    ) {
        current.withLock { $0.consumer = Consumer(room: room, onLoss: onLoss) }
    }

    private func lose(_ loss: BrokerLoss) {
        current.withLock { $0.consumer }?.onLoss(loss)
    }

    // MARK: Offering

    package func offer(_ offer: Offer) -> Bool {
        let isThere = link.session != nil
        let way = current.withLock { state -> Bool? in
            guard !state.isClosed else { return false }
            guard isThere else { return nil }
            guard !state.book.has(offer) else { return true }
            guard state.book.admits(offer.model) else { return false }
            state.book.add(offer)
            state.waiting.append(offer)
            return true
        }
        guard let isTaken = way else { return ringTakesOver && ring.offer(offer) }
        if isTaken { sending.ring(.event) }
        return isTaken
    }

    package func withdraw(_ offer: Offer) -> Bool {
        if ring.withdraw(offer) { return true }
        return settle(offer)
    }

    /// The offer need not be taken any more: its entry goes.
    ///
    /// - Returns: false when it was not outstanding.
    @discardableResult
    func settle(_ offer: Offer) -> Bool {
        guard let found = current.withLock({ $0.book.remove(offer) }) else { return false }
        // Without a name yet, it is deleted when Redis has named it: see `send`.
        if let entry = found { delete(entry, of: offer.model) }
        return true
    }

    /// A worker has asked for it by this entry: whatever the answer, the entry goes. A newer one stays.
    func taken(_ offer: Offer, entry: String) {
        current.withLock { state in
            guard let known = state.book.entry(of: offer), known == nil || known == entry else { return }
            state.book.remove(offer)
        }
        delete(entry, of: offer.model)
    }

    func key(of model: String) -> String { link.keys.jobs(of: store.instance.text, model) }

    func delete(_ entry: String, of model: String) {
        let key = key(of: model)
        link.send(RedisCommand("XACK", key, RedisKeys.group, entry))
        link.send(RedisCommand("XDEL", key, entry))
    }

    /// Sends what was offered. Ends on graceful shutdown.
    func run() async {
        await sending.whileRunning {
            _ = await sending.wait()
            await sendWaiting()
        }
    }

    private func sendWaiting() async {
        let offers = current.withLock { state in
            defer { state.waiting = [] }
            return state.waiting
        }
        guard !offers.isEmpty else { return }
        do {
            let described = try await describe(offers)
            let wanted = Set(described.map(\.offer))
            for offer in offers where !wanted.contains(offer) {
                if settle(offer) { lose(.unwanted(offer)) }
            }
            for job in described { send(job) }
        } catch {
            throttle.log(
                logger, .error, "jobs could not be offered through redis, trying again", metadata: ["error": "\(error)"]
            )
            lose(offers)
        }
    }

    /// What workers are sent for these offers, but for those whose jobs are not due any more.
    private func describe(_ offers: [Offer]) async throws -> [JobOffer] {
        let url = publicURL()
        return try await store.due(offers.map(\.job)).map { job in
            JobOffer(job, gatewayURL: url, token: NotifyToken(job.key, job.nextLease).text(store.signingKey))
        }
    }

    private func send(_ job: JobOffer) {
        let offer = job.offer
        guard let session = link.session else { return }
        var command = RedisCommand("XADD", key(of: job.model), "NOMKSTREAM", "*")
        job.append(to: &command)
        link.send(command, blame: .command) { reply in
            switch reply {
            case .bytes(let bytes): self.named(offer, String(decoding: bytes, as: UTF8.self))
            // Emptied while we were looking at another key: all that it held is offered again.
            case .null: self.link.fail(.refused("its streams are gone"), in: session)
            case .error(let text):
                guard reply?.isOutOfMemory == true, self.isTakenBack(offer) else {
                    return self.link.fail(.refused(text), in: session)
                }
            default: break
            }
        }
    }

    private func named(_ offer: Offer, _ entry: String) {
        let isWanted = current.withLock { $0.book.name(offer, entry) }
        // Taken already, or withdrawn meanwhile. An entry that is gone is no error.
        if !isWanted { delete(entry, of: offer.model) }
    }

    // MARK: A Redis that is full

    /// Redis has no room for this offer: it and some that lie there are offered later.
    ///
    /// - Returns: false when nothing of ours fills it.
    private func isTakenBack(_ offer: Offer) -> Bool {
        guard let others = current.withLock({ $0.book.refused(offer) }) else { return false }
        takeBack(others, and: [offer])
        return true
    }

    /// Redis has no room for something else than an offer: offers go first, they can come again.
    ///
    /// - Returns: false when nothing of ours fills it.
    func makeRoom() -> Bool {
        guard let others = current.withLock({ $0.book.makeRoom() }) else { return false }
        takeBack(others, and: [])
        return true
    }

    private func takeBack(_ named: [(offer: Offer, entry: String)], and others: [Offer]) {
        for (offer, entry) in named { delete(entry, of: offer.model) }
        if !named.isEmpty {
            let room = current.withLock { $0.book.room }
            // One step of several, until there is room.
            fullness.log(
                logger, .warning, "redis is full: fewer jobs are offered at a time, until it takes more",
                metadata: ["offers": .stringConvertible(room ?? 0)]
            )
        }
        lose(.offers(named.map(\.offer) + others))
    }

    // MARK: Taking

    package func take(_ model: String) async -> Offer? {
        let mustRead = current.withLock { !$0.isClosed && $0.readers.insert(model).inserted }
        if mustRead { startReading(model) }
        let offer = await ring.take(model, whenWaiting: condition.wake)
        // One that lay in the ring since an outage may have been offered through Redis, too.
        if let offer { settle(offer) }
        return offer
    }

    /// How many slots wait, once some do; 0 after a while without.
    private func wanted(_ model: String) -> Int {
        let count = condition.wait(atMost: Self.patience) { () -> Int? in
            let consumer = current.withLock { $0.prepared.contains(model) && !$0.isClosed ? $0.consumer : nil }
            guard let consumer else { return nil }
            let count = min(ring.waiting(for: model), consumer.room(model))
            return count > 0 ? count : nil
        }
        return count ?? 0
    }

    private func startReading(_ model: String) {
        let key = key(of: model)
        let wait = String(Self.patience.milliseconds)
        link.read("redis-jobs", patience: Self.patience) { connection, _ throws(RedisError) in
            let count = self.wanted(model)
            guard count > 0 else { return !self.current.withLock { $0.isClosed } }
            let reply = try connection.run(
                RedisCommand(
                    "XREADGROUP", "GROUP", RedisKeys.group, "gateway", "COUNT", String(count), "BLOCK", wait,
                    "STREAMS", key, ">"
                )
            )
            let entries = StreamEntry.streams(reply).flatMap(\.entries)
            guard !entries.isEmpty else { return true }
            self.deliver(entries, of: model)
            // On this connection, so that the next read comes after it.
            let ids = entries.map(\.id)
            try connection.append(RedisCommand(["XACK", key, RedisKeys.group] + ids))
            try connection.append(RedisCommand(["XDEL", key] + ids))
            for _ in 0..<2 {
                if case .error(let text) = try connection.next() { throw .refused(text) }
            }
            return true
        }
    }

    private func deliver(_ entries: [StreamEntry], of model: String) {
        for entry in entries {
            guard let job = entry.text("job").flatMap({ UUIDv7($0) }) else {
                refusals.note(.offer, at: key(of: model))
                continue
            }
            let offer = Offer(model: model, job: job.key)
            // Nil: withdrawn meanwhile.
            guard current.withLock({ $0.book.remove(offer) }) != nil, !ring.offer(offer) else { continue }
            lose(.offers([offer]))
        }
    }

    package func close() {
        current.withLock { $0.isClosed = true }
        ring.close()
        condition.wake()
    }

    // MARK: Sessions

    /// Empty streams with their groups: whatever lay in them is offered again.
    func prepare(_ connection: RedisConnection) throws(RedisError) {
        let names = current.withLock { $0.models }
        for model in names {
            _ = try connection.run(RedisCommand("DEL", key(of: model)))
            _ = try connection.run(RedisCommand("XGROUP", "CREATE", key(of: model), RedisKeys.group, "0", "MKSTREAM"))
        }
        current.withLock { $0.prepared = Set(names) }
    }

    /// Redis has come or gone: all that was offered may be lost, or has a better way now.
    func sessionChanged() {
        current.withLock { state in
            state.book.forgetAll()
            state.waiting = []
        }
        lose(.all)
        condition.wake()
    }

    /// Takes over the models of a reload, and makes the streams of those that are new.
    func setModels(_ names: [String]) {
        let missing = current.withLock { state in
            state.models = names
            return names.filter { !state.prepared.contains($0) }
        }
        guard link.session != nil else { return }
        for model in missing {
            link.send(RedisCommand("DEL", key(of: model)))
            link.send(RedisCommand("XGROUP", "CREATE", key(of: model), RedisKeys.group, "0", "MKSTREAM")) { reply in
                guard reply != nil else { return }
                self.current.withLock { _ = $0.prepared.insert(model) }
                self.condition.wake()
            }
        }
    }

    /// Before the process ends: workers must not take its offers any more.
    func withdrawAll() {
        for model in preparedModels { link.send(RedisCommand("DEL", key(of: model))) }
    }

    // MARK: What becomes of offers in Redis

    /// Models of which something is outstanding.
    var offeredModels: [String] { current.withLock { $0.book.models } }

    /// Models that have a stream in this session.
    var preparedModels: Set<String> { current.withLock { $0.prepared } }

    /// What is in the stream of a model, as far as this gateway knows, with its entries.
    func outstanding(of model: String) -> [Offer: String] { current.withLock { $0.book.named(of: model) } }

    /// These offers are no longer outstanding, though they were not taken.
    func lose(_ offers: [Offer]) {
        current.withLock { state in for offer in offers { state.book.remove(offer) } }
        lose(.offers(offers))
    }
}
