import Foundation
package import InferqCore
package import Logging
import ServiceLifecycle
import Synchronization

/// The broker over Redis Streams, with the ring in its place while Redis is away.
///
/// Each gateway has a stream for each of its models, with one consumer group from which the workers of all hosts read;
/// the slots of this process are one consumer among them. What this process reads lands in the ring, where its slots
/// take it, as they do without Redis: so a take need not know which way its offer came.
///
/// An entry is acknowledged and deleted at once by the taker's gateway, so that a stream holds what nobody has taken,
/// and no more: at most the free slots of the site plus one.
package final class RedisBroker: Broker, Service {
    /// What the broker must know of the jobs, and tell of them.
    package struct Home: Sendable {
        /// Those that have a stream.
        package var models: @Sendable () -> [String]
        /// How many jobs of a model this process may take.
        package var room: @Sendable (_ model: String) -> Int
        /// What is to be sent for these offers; those that are not wanted any more are left out.
        package var describe: @Sendable ([Offer]) async throws -> [JobOffer]
        /// Offers that nobody will take: their jobs are not due any more.
        package var withdrawn: @Sendable (Offer) -> Void
        /// Offers that may be lost.
        package var offerAgain: @Sendable ([Offer]) -> Void
        /// All offers may be lost, or there is a better way for them now.
        package var offerAllAgain: @Sendable () -> Void
        /// There is room for an offer of a model that was refused before.
        package var roomAgain: @Sendable (_ model: String) -> Void

        package init(
            models: @escaping @Sendable () -> [String],
            room: @escaping @Sendable (_ model: String) -> Int = { _ in .max },
            describe: @escaping @Sendable ([Offer]) async throws -> [JobOffer],
            withdrawn: @escaping @Sendable (Offer) -> Void = { _ in },
            offerAgain: @escaping @Sendable ([Offer]) -> Void = { _ in },
            offerAllAgain: @escaping @Sendable () -> Void = {},
            roomAgain: @escaping @Sendable (_ model: String) -> Void = { _ in }
        ) {
            self.models = models
            self.room = room
            self.describe = describe
            self.withdrawn = withdrawn
            self.offerAgain = offerAgain
            self.offerAllAgain = offerAllAgain
            self.roomAgain = roomAgain
        }
    }

    struct State {
        var home: Home?
        var book: OfferBook
        /// Offers that were not sent yet.
        var waiting: [Offer] = []
        /// Models whose stream is there in this session.
        var prepared: Set<String> = []
        var readers: Set<String> = []
        var isClosed = false
    }

    let link: RedisLink
    let instance: String
    private let ring: RingBroker
    private let fallsBack: Bool
    private let refusals: RedisRefusals
    let logger: Logger
    let throttle = LogThrottle()
    private let fullness = LogThrottle(limit: 1)
    let state: Mutex<State>
    private let sending = Bell()
    private let condition = MonotonicCondition()

    /// How long a read waits in Redis: at most so long after a stop or an outage does its thread end.
    private static let patience = Duration.milliseconds(500)

    /// - Parameters:
    ///   - instance: the store's.
    ///   - capacity: offers of one model that may wait for a worker.
    ///   - fallsBack: whether jobs go through the ring while Redis is away; otherwise they wait.
    ///   - refused: counts what was found in Redis and not understood.
    package init(
        link: RedisLink,
        instance: String,
        capacity: Int,
        fallsBack: Bool,
        logger: Logger,
        refused: @escaping @Sendable (Site.Foreign) -> Void = { _ in }
    ) {
        self.link = link
        self.instance = instance
        self.fallsBack = fallsBack
        self.logger = logger
        refusals = RedisRefusals(logger: logger, count: refused)
        state = Mutex(State(book: OfferBook(capacity: capacity)))
        ring = RingBroker(capacity: capacity)
    }

    /// Says for whom the broker works; before Redis is looked for.
    package func attach(_ home: Home) {
        state.withLock { $0.home = home }
        link.whenTurning(
            RedisLink.Turns(
                prepare: { connection throws(RedisError) in try self.prepare(connection) },
                changed: { _ in self.turned() },
                makeRoom: { self.makeRoom() }
            )
        )
    }

    package var name: String {
        switch link.standing {
        case .up: return "redis"
        case .away(let since):
            let reason = link.trouble.map { ": \($0)" } ?? ""
            return (fallsBack ? "ring (redis unreachable since " : "redis (unreachable since ") + since.rfc3339 + reason
                + ")"
        }
    }

    // MARK: Offering

    package func offer(_ offer: Offer) -> Bool {
        let isThere = link.session != nil
        let way = state.withLock { state -> Bool? in
            guard !state.isClosed else { return false }
            guard isThere else { return nil }
            guard !state.book.has(offer) else { return true }
            guard state.book.admits(offer.model) else { return false }
            state.book.add(offer)
            state.waiting.append(offer)
            return true
        }
        guard let isTaken = way else { return fallsBack && ring.offer(offer) }
        if isTaken { sending.ring(.event) }
        return isTaken
    }

    package func withdraw(_ offer: Offer) -> Bool {
        if ring.withdraw(offer) { return true }
        return settle(offer)
    }

    /// Nobody need take this any more: its entry goes.
    ///
    /// - Returns: false when it was not outstanding.
    @discardableResult
    func settle(_ offer: Offer) -> Bool {
        guard let found = change(of: offer.model, { $0.remove(offer) }) else { return false }
        // Without a name yet, it is deleted when Redis has named it: see `send`.
        if let entry = found { delete(entry, of: offer.model) }
        return true
    }

    /// A worker has asked for it by this entry: whatever the answer, the entry goes. A newer one stays.
    func taken(_ offer: Offer, entry: String) {
        change(of: offer.model) { book in
            guard let known = book.entry(of: offer), known == nil || known == entry else { return }
            book.remove(offer)
        }
        delete(entry, of: offer.model)
    }

    /// Changes what is outstanding of a model; where that was bounded, it may have room again.
    @discardableResult
    private func change<Value>(of model: String, _ change: (inout OfferBook) -> Value) -> Value {
        let (value, home) = state.withLock { state in
            let value = change(&state.book)
            return (value, state.book.room == nil ? nil : state.home)
        }
        home?.roomAgain(model)
        return value
    }

    func delete(_ entry: String, of model: String) {
        let key = link.keys.jobs(of: instance, model)
        link.send(RedisCommand("XACK", key, RedisKeys.group, entry))
        link.send(RedisCommand("XDEL", key, entry))
    }

    /// Sends what was offered. Ends on graceful shutdown.
    package func run() async throws {
        await withTaskCancellationOrGracefulShutdownHandler {
            while !Task.isShuttingDownGracefully, !Task.isCancelled {
                _ = await sending.wait()
                await sendWaiting()
            }
        } onCancelOrGracefulShutdown: {
            self.sending.ring(.stop)
        }
    }

    private func sendWaiting() async {
        let (offers, home) = state.withLock { state in
            defer { state.waiting = [] }
            return (state.waiting, state.home)
        }
        guard let home, !offers.isEmpty else { return }
        do {
            let described = try await home.describe(offers)
            let wanted = Set(described.map(\.offer))
            for offer in offers where !wanted.contains(offer) {
                if settle(offer) { home.withdrawn(offer) }
            }
            for job in described { send(job) }
        } catch {
            throttle.log(
                logger, .error, "jobs could not be offered through redis, trying again", metadata: ["error": "\(error)"]
            )
            for offer in offers { settle(offer) }
            home.offerAgain(offers)
        }
    }

    private func send(_ job: JobOffer) {
        let offer = job.offer
        guard let session = link.session else { return }
        var command = RedisCommand("XADD", link.keys.jobs(of: instance, job.model), "NOMKSTREAM", "*")
        job.append(to: &command)
        link.send(command, blame: .command) { reply in
            switch reply {
            case .bytes(let bytes): self.named(offer, String(decoding: bytes, as: UTF8.self))
            // Emptied while we looked elsewhere: all that it held is offered anew.
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
        let isWanted = state.withLock { $0.book.name(offer, entry) }
        // Taken already, or withdrawn meanwhile. An entry that is gone is no error.
        if !isWanted { delete(entry, of: offer.model) }
    }

    // MARK: A Redis that is full

    /// Redis has no room for this offer: it and some that lie there are offered later.
    ///
    /// - Returns: false when nothing of ours fills it.
    private func isTakenBack(_ offer: Offer) -> Bool {
        guard let others = state.withLock({ $0.book.refused(offer) }) else { return false }
        takeBack(others, and: [offer])
        return true
    }

    /// Redis has no room for something else than an offer: offers go first, they can come again.
    private func makeRoom() -> Bool {
        guard let others = state.withLock({ $0.book.makeRoom() }) else { return false }
        takeBack(others, and: [])
        return true
    }

    private func takeBack(_ named: [(offer: Offer, entry: String)], and others: [Offer]) {
        for (offer, entry) in named { delete(entry, of: offer.model) }
        let (home, room) = state.withLock { ($0.home, $0.book.room) }
        if !named.isEmpty {
            // One step of several, until there is room.
            fullness.log(
                logger, .warning, "redis is full: fewer jobs are offered at a time, until it takes more",
                metadata: ["offers": .stringConvertible(room ?? 0)]
            )
        }
        home?.offerAgain(named.map(\.offer) + others)
    }

    // MARK: Taking

    package func take(_ model: String) async -> Offer? {
        let mustRead = state.withLock { !$0.isClosed && $0.readers.insert(model).inserted }
        if mustRead { startReading(model) }
        let offer = await ring.take(model, whenWaiting: wakeReaders)
        // One that lay in the ring since an outage may have been offered through Redis, too.
        if let offer { settle(offer) }
        return offer
    }

    private func wakeReaders() {
        condition.lock()
        condition.broadcast()
        condition.unlock()
    }

    /// How many slots wait, once some do; 0 after a while without.
    private func wanted(_ model: String) -> Int {
        func look() -> Int {
            let mayRead = state.withLock { $0.prepared.contains(model) && !$0.isClosed }
            guard mayRead, let room = state.withLock({ $0.home })?.room else { return 0 }
            return min(ring.waiting(for: model), room(model))
        }
        let deadline = MonotonicCondition.deadline(after: Self.patience)
        condition.lock()
        defer { condition.unlock() }
        while true {
            let count = look()
            if count > 0 || !condition.wait(until: deadline) { return count }
        }
    }

    private func startReading(_ model: String) {
        let key = link.keys.jobs(of: instance, model)
        let wait = String(Self.patience.milliseconds)
        link.read("redis-jobs", patience: Self.patience) { connection, _ throws(RedisError) in
            let count = self.wanted(model)
            guard count > 0 else { return !self.state.withLock { $0.isClosed } }
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
                refusals.note(.offer, at: link.keys.jobs(of: instance, model))
                continue
            }
            let offer = Offer(model: model, job: job.key)
            // Nil: withdrawn meanwhile.
            guard state.withLock({ $0.book.remove(offer) }) != nil, !ring.offer(offer) else { continue }
            state.withLock { $0.home }?.offerAgain([offer])
        }
    }

    package func close() {
        state.withLock { $0.isClosed = true }
        ring.close()
        wakeReaders()
    }

    // MARK: Turns

    /// Empty streams with their groups: whatever lay in them is offered anew.
    private func prepare(_ connection: RedisConnection) throws(RedisError) {
        let names = state.withLock { $0.home }?.models() ?? []
        for model in names {
            let key = link.keys.jobs(of: instance, model)
            _ = try connection.run(RedisCommand("DEL", key))
            _ = try connection.run(RedisCommand("XGROUP", "CREATE", key, RedisKeys.group, "0", "MKSTREAM"))
        }
        state.withLock { $0.prepared = Set(names) }
    }

    private func turned() {
        let home = state.withLock { state in
            state.book.forgetAll()
            state.waiting = []
            return state.home
        }
        home?.offerAllAgain()
        wakeReaders()
    }

    /// Makes the streams of models that a reload has added.
    package func modelsChanged() {
        guard link.session != nil else { return }
        let (known, home) = state.withLock { ($0.prepared, $0.home) }
        for model in home?.models() ?? [] where !known.contains(model) {
            let key = link.keys.jobs(of: instance, model)
            link.send(RedisCommand("DEL", key))
            link.send(RedisCommand("XGROUP", "CREATE", key, RedisKeys.group, "0", "MKSTREAM")) { reply in
                guard reply != nil else { return }
                self.state.withLock { _ = $0.prepared.insert(model) }
                self.wakeReaders()
            }
        }
    }
}
