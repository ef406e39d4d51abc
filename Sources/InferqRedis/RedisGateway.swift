import InferqCore
import InferqQueue
import Logging
import ServiceLifecycle
import Synchronization

/// Receives what workers on other hosts send to this gateway, and answers them.
final class RedisGateway: Sendable {
    private struct Inbound: Sendable {
        let entry: StreamEntry
        /// Whether it was there when the session began.
        let isOld: Bool
    }

    private struct State {
        /// The entry to read on after, and the newest one when the session began.
        var cursor = "0-0"
        var oldest = StreamID.zero
        /// Entries that are being worked on, with the worker that sent them: a new session must not read them again.
        var inProcess: [String: String] = [:]
        /// Attempts whose outcome is being worked on.
        var ending: Set<AttemptName> = []
    }

    private let link: RedisLink
    private let broker: RedisBroker
    private let remoteAttempts: RemoteAttempts
    private let refusals: RedisRefusals
    private let keeper: AnswerKeeper
    private let logger: Logger
    private let throttle = LogThrottle()
    private let state = Mutex(State())
    private let condition = MonotonicCondition()
    private let lookBell: Bell
    private let (inbound, inbox) = AsyncStream.makeStream(of: Inbound.self)

    private static let patience = Duration.milliseconds(500)
    /// Seconds for which a message waits for its worker.
    private static let inboxLifetime = "3600"
    /// Messages that are worked on at a time; more stay in Redis.
    private static let inProcessLimit = 1024

    /// - Parameter lookBell: rung when a worker asks for a look at its heartbeat.
    init(
        broker: RedisBroker,
        remoteAttempts: RemoteAttempts,
        peers: Peers,
        lookBell: Bell,
        logger: Logger
    ) {
        link = broker.link
        self.broker = broker
        self.remoteAttempts = remoteAttempts
        self.lookBell = lookBell
        self.logger = logger
        keeper = AnswerKeeper(store: remoteAttempts.queue.store)
        refusals = RedisRefusals(logger: logger, peers: peers)
        for attempt in remoteAttempts.all { remoteAttempts.watch(attempt) { [weak self] in self?.send(.stop, $0) } }
    }

    private var instance: String { remoteAttempts.queue.store.instance.text }

    /// Runs until the graceful shutdown; attempts at workers go on there.
    func run() async {
        readInbox()
        await withTaskCancellationOrGracefulShutdownHandler {
            await withDiscardingTaskGroup { group in
                for await message in inbound { group.addTask { await self.receive(message) } }
            }
        } onCancelOrGracefulShutdown: {
            self.inbox.finish()
        }
    }

    /// A new session reads the stream from its beginning.
    func prepare(_ connection: RedisConnection) throws(RedisError) {
        let newest = try connection.run(
            RedisCommand("XREVRANGE", link.keys.inbox(ofGateway: instance), "+", "-", "COUNT", "1")
        )
        let oldest = newest.elements.first.flatMap { StreamEntry($0) }.flatMap { StreamID($0.id) } ?? .zero
        state.withLock { state in
            state.cursor = "0-0"
            state.oldest = oldest
        }
    }

    /// Whether a message of a worker is being worked on.
    func isProcessing(_ worker: String) -> Bool {
        state.withLock { $0.inProcess.values.contains(worker) }
    }

    // MARK: Messages of workers

    private func readInbox() {
        let key = link.keys.inbox(ofGateway: instance)
        link.read("redis-inbox", patience: Self.patience) { connection, _ throws(RedisError) in
            // With too much to do, the rest stays in Redis.
            guard let room = self.condition.wait(atMost: Self.patience, until: self.room) else { return true }
            let (cursor, oldest) = self.state.withLock { ($0.cursor, $0.oldest) }
            let count = String(min(room, 128))
            let reply = try connection.run(
                RedisCommand(
                    "XREAD", "COUNT", count, "BLOCK", String(Self.patience.milliseconds), "STREAMS", key, cursor
                )
            )
            for entry in StreamEntry.streams(reply).flatMap(\.entries) {
                let isNew = self.state.withLock { state in
                    state.cursor = entry.id
                    return state.inProcess.updateValue(entry.text("worker") ?? "", forKey: entry.id) == nil
                }
                let isOld = (StreamID(entry.id) ?? .zero) <= oldest
                if isNew { self.inbox.yield(Inbound(entry: entry, isOld: isOld)) }
            }
            return true
        }
    }

    /// How many messages may be worked on besides those that are; nil: none.
    private func room() -> Int? {
        let room = Self.inProcessLimit - state.withLock { $0.inProcess.count }
        return room > 0 ? room : nil
    }

    private func receive(_ inbound: Inbound) async {
        let entry = inbound.entry
        let isDone = await processOnce(entry, isOld: inbound.isOld)
        // Only what is committed is acknowledged; the rest is read again by the next session.
        if isDone { link.send(RedisCommand("XDEL", link.keys.inbox(ofGateway: instance), entry.id)) }
        let wasFull = state.withLock { state in
            defer { state.inProcess[entry.id] = nil }
            return state.inProcess.count >= Self.inProcessLimit
        }
        if wasFull { condition.wake() }
    }

    /// A worker that was not answered tells an outcome again: the first one is enough.
    private func processOnce(_ entry: StreamEntry, isOld: Bool) async -> Bool {
        guard let name = AttemptName(entry, gateway: instance), WorkerMessage.isOutcome(entry) else {
            return await process(entry, isOld: isOld)
        }
        guard state.withLock({ $0.ending.insert(name).inserted }) else { return true }
        defer { state.withLock { _ = $0.ending.remove(name) } }
        return await process(entry, isOld: isOld)
    }

    private func process(_ entry: StreamEntry, isOld: Bool) async -> Bool {
        if entry.text("word") == "look" {
            // A worker's model server has gone or come back: its heartbeat says which.
            lookBell.ring(.event)
            return true
        }
        guard let name = AttemptName(entry, gateway: instance), let worker = entry.text("worker"),
            let message = WorkerMessage(entry)
        else {
            refusals.note(.message, at: link.keys.inbox(ofGateway: instance))
            return true
        }
        switch message {
        case .take(let id, let model, let isProbe):
            // Anyone who asked before this session has given up waiting.
            if isOld { return true }
            await answerTake(name, Offer(model: model, job: name.job.key), entry: id, to: worker, isProbe: isProbe)
            return true
        case .shown:
            await remoteAttempts.show(name.job.key, name.lease)
            return true
        case .giveBack(let id, let model):
            let offer = Offer(model: model, job: name.job.key)
            broker.taken(offer, entry: id)
            remoteAttempts.queue.scheduler.offerAgain([offer])
            return true
        case .answered(let answer):
            return await end(name, worker) { attempt in
                try await self.keeper.outcome(answer, attempt.settings, attempt.claim.run)
            }
        case .failed(let failure, let retryAfter, let answer):
            return await end(name, worker) { attempt in
                guard let answer,
                    case .answered(let kept) = try await self.keeper.outcome(
                        answer, attempt.settings, attempt.claim.run)
                else { return .failed(failure, retryAfter: retryAfter) }
                return .failed(failure, retryAfter: retryAfter, answer: kept)
            }
        case .refused(let refusal):
            return await end(name, worker) { _ in .refused(refusal) }
        case .interrupted(let reason):
            guard await remoteAttempts.interrupt(name.job.key, name.lease, reason: reason) else { return false }
            send(.done, name, worker)
            return true
        }
    }

    private func answerTake(
        _ name: AttemptName, _ offer: Offer, entry: String, to worker: String, isProbe: Bool
    ) async {
        // First: where the broker is short of room, the next offer takes its place.
        broker.taken(offer, entry: entry)
        if let attempt = remoteAttempts.attempt(of: name.job.key, name.lease), attempt.worker == worker {
            // Asked twice: the answer is the same.
            return send(.go, name, worker)
        }
        let claim = await remoteAttempts.take(offer, name.lease, for: worker, isProbe: isProbe) { [weak self] in
            self?.send(.stop, $0)
        }
        send(claim == nil ? .no : .go, name, worker)
    }

    private func end(
        _ name: AttemptName, _ worker: String, _ outcome: (RemoteAttempts.Attempt) async throws -> Outcome
    ) async -> Bool {
        let key = name.job.key
        if let attempt = remoteAttempts.attempt(of: key, name.lease) {
            do {
                let outcome = try await outcome(attempt)
                guard await remoteAttempts.finish(key, name.lease, with: outcome) else { return false }
            } catch {
                throttle.log(
                    logger, .error, "an answer could not be stored",
                    metadata: ["job_id": "\(name.job)", "error": "\(error)"]
                )
                return false
            }
        }
        send(.done, name, worker)
        return true
    }

    func send(_ message: GatewayMessage, _ name: AttemptName, _ worker: String) {
        let inbox = link.keys.inbox(ofWorker: worker)
        link.send(message.command(link.keys, name, worker: worker), blame: .key) { reply in
            if case .error = reply { self.refusals.note(.key, at: inbox) }
        }
        // For a worker that never comes back.
        link.send(RedisCommand("EXPIRE", inbox, Self.inboxLifetime))
    }

    private func send(_ message: GatewayMessage, _ attempt: RemoteAttempts.Attempt) {
        send(
            message, AttemptName(gateway: instance, job: attempt.claim.job.id, lease: attempt.claim.lease),
            attempt.worker)
    }
}
