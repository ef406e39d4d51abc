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
        /// What is to be sent for these offers; those that are not wanted any more are left out.
        package var describe: @Sendable ([Offer]) async throws -> [JobOffer]
        /// Offers that nobody will take: their jobs are not due any more.
        package var withdrawn: @Sendable (Offer) -> Void
        /// Offers that may be lost.
        package var offerAgain: @Sendable ([Offer]) -> Void
        /// All offers may be lost, or there is a better way for them now.
        package var offerAllAgain: @Sendable () -> Void

        package init(
            models: @escaping @Sendable () -> [String],
            describe: @escaping @Sendable ([Offer]) async throws -> [JobOffer],
            withdrawn: @escaping @Sendable (Offer) -> Void = { _ in },
            offerAgain: @escaping @Sendable ([Offer]) -> Void = { _ in },
            offerAllAgain: @escaping @Sendable () -> Void = {}
        ) {
            self.models = models
            self.describe = describe
            self.withdrawn = withdrawn
            self.offerAgain = offerAgain
            self.offerAllAgain = offerAllAgain
        }
    }

    private struct State {
        var home: Home?
        /// Offered through Redis and not taken, with the entry once Redis has named it.
        var outstanding: [Offer: String?] = [:]
        var counts: [String: Int] = [:]
        /// Offers that were not sent yet.
        var waiting: [Offer] = []
        /// Models whose stream is there in this session.
        var prepared: Set<String> = []
        var readers: Set<String> = []
        var isClosed = false
    }

    private let link: RedisLink
    private let instance: String
    private let ring: RingBroker
    private let capacity: Int
    private let fallsBack: Bool
    private let logger: Logger
    private let throttle = LogThrottle()
    private let state = Mutex(State())
    private let sending = Bell()
    private let condition = MonotonicCondition()

    /// How long a read waits in Redis: at most so long after a stop or an outage does its thread end.
    private static let patience = Duration.milliseconds(500)
    /// An entry that was read and not asked for within this time is offered anew: its reader is dead, or its words were lost.
    static let lostAfter = Duration.seconds(12)

    /// - Parameters:
    ///   - instance: the store's.
    ///   - capacity: offers of one model that may wait for a worker.
    ///   - fallsBack: whether jobs go through the ring while Redis is away; otherwise they wait.
    package init(
        link: RedisLink,
        instance: String,
        capacity: Int,
        fallsBack: Bool,
        logger: Logger
    ) {
        self.link = link
        self.instance = instance
        self.capacity = capacity
        self.fallsBack = fallsBack
        self.logger = logger
        ring = RingBroker(capacity: capacity)
    }

    /// Says for whom the broker works; before Redis is looked for.
    package func attach(_ home: Home) {
        state.withLock { $0.home = home }
        link.whenTurning(
            RedisLink.Turns(
                prepare: { connection throws(RedisError) in try self.prepare(connection) },
                changed: { _ in self.turned() }
            )
        )
    }

    package var name: String {
        switch link.standing {
        case .up: "redis"
        case .away(let since):
            fallsBack
                ? "ring (redis unreachable since \(since.rfc3339))" : "redis (unreachable since \(since.rfc3339))"
        }
    }

    // MARK: Offering

    package func offer(_ offer: Offer) -> Bool {
        let isThere = link.session != nil
        let way = state.withLock { state -> Bool? in
            guard !state.isClosed else { return false }
            guard isThere else { return nil }
            guard state.outstanding[offer] == nil else { return true }
            guard state.counts[offer.model, default: 0] < capacity else { return false }
            state.outstanding.updateValue(nil, forKey: offer)
            state.counts[offer.model, default: 0] += 1
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
        let found = state.withLock { state -> String?? in
            guard let entry = state.outstanding.removeValue(forKey: offer) else { return nil }
            state.counts[offer.model, default: 1] -= 1
            return .some(entry)
        }
        guard let found else { return false }
        // Without a name yet, it is deleted when Redis has named it: see `send`.
        if let entry = found { delete(entry, of: offer.model) }
        return true
    }

    /// A worker has asked for it by this entry: whatever the answer, the entry goes. A newer one stays.
    func taken(_ offer: Offer, entry: String) {
        state.withLock { state in
            guard let known = state.outstanding[offer], known == nil || known == entry else { return }
            state.outstanding.removeValue(forKey: offer)
            state.counts[offer.model, default: 1] -= 1
        }
        delete(entry, of: offer.model)
    }

    private func delete(_ entry: String, of model: String) {
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
        link.send(command) { reply in
            guard let entry = reply?.text else {
                // Emptied while we looked elsewhere: all that it held is offered anew.
                if reply == .null { self.link.fail(.refused("its streams are gone"), in: session) }
                return
            }
            let isWanted = self.state.withLock { state -> Bool in
                guard state.outstanding[offer] != nil else { return false }
                state.outstanding.updateValue(entry, forKey: offer)
                return true
            }
            // Taken already, or withdrawn meanwhile. An entry that is gone is no error.
            if !isWanted { self.delete(entry, of: offer.model) }
        }
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
            return mayRead ? ring.waiting(for: model) : 0
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
            guard let job = entry.text("job").flatMap({ UUIDv7($0) }) else { continue }
            let offer = Offer(model: model, job: job.key)
            let isWanted = state.withLock { state -> Bool in
                // Withdrawn meanwhile.
                guard state.outstanding.removeValue(forKey: offer) != nil else { return false }
                state.counts[model, default: 1] -= 1
                return true
            }
            guard isWanted, !ring.offer(offer) else { continue }
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
            state.outstanding = [:]
            state.counts = [:]
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

    // MARK: Looking after what was read

    /// Offers anew what a reader has taken from a stream and then not asked for.
    func lookForLostOffers() async {
        for model in state.withLock({ $0.counts.filter { $0.value > 0 }.map(\.key) }) {
            let lostAfter = String(Self.lostAfter.milliseconds)
            await offerAnew(
                model,
                RedisCommand(
                    "XPENDING", link.keys.jobs(of: instance, model), RedisKeys.group, "IDLE", lostAfter, "-", "+", "100"
                ))
        }
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
        let entries = reply.elements.compactMap { $0.elements.first?.text }
        guard !entries.isEmpty else { return }
        let lost = state.withLock { state -> [Offer] in
            let known = Set(entries)
            let offers = state.outstanding.filter { $0.key.model == model && $0.value.map(known.contains) == true }
            for offer in offers.keys {
                state.outstanding[offer] = nil
                state.counts[model, default: 1] -= 1
            }
            return Array(offers.keys)
        }
        for entry in entries { delete(entry, of: model) }
        state.withLock { $0.home }?.offerAgain(lost)
    }

    /// Before the process ends: nobody shall take what it offers.
    func withdrawAll() {
        for model in state.withLock({ $0.prepared }) {
            link.send(RedisCommand("DEL", link.keys.jobs(of: instance, model)))
        }
    }
}
