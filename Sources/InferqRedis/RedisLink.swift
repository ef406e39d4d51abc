import Foundation
import InferqCore
package import Logging
import Synchronization

/// The way to Redis: whether it is there, and a pipeline of commands to it, on a thread of its own.
///
/// While Redis is away nothing is sent and nothing waits: a sender is told so at once. Every error, of any
/// connection, means that it is away, and it is used again after two good answers in a row. A Redis that answers and
/// then goes away again within a second is left alone for longer each time.
package final class RedisLink: Sendable {
    /// Whether Redis is there.
    enum Reachability: Sendable, Equatable {
        /// - Parameter session: grows each time Redis has come back.
        case up(session: Int)
        case away(since: Timestamp)
    }

    /// What is done on the link's thread as Redis comes and goes.
    struct Callbacks: Sendable {
        /// Before anybody else uses Redis: makes what must be there.
        var prepare: @Sendable (RedisConnection) throws(RedisError) -> Void = { _ in }
        var changed: @Sendable (Reachability) -> Void = { _ in }
        /// When Redis has no room for a write: takes back what is of ours there, if there is anything.
        var makeRoom: @Sendable () -> Bool = { false }
    }

    /// What an error in answer to a command means.
    enum Blame: Sendable {
        /// Redis cannot be used: the session ends. A write for which there is no room is tried again once some was made.
        case redis
        /// As above, except for an error about a key or an id that others have spoiled: it is passed to `then`.
        case key
        /// Every error is passed to `then`.
        case command
    }

    private struct Entry: Sendable {
        let command: RedisCommand
        let blame: Blame
        let then: (@Sendable (RedisReply?) -> Void)?
    }

    private struct State {
        var reachability: Reachability
        var lastSession = 0
        var waiting: [Entry] = []
        var waitingBytes = 0
        /// Why the session must end, if one of its readers has found that out.
        var failure: RedisError?
        var isStopped = false
        var handles: [ObjectIdentifier: RedisConnection.Handle] = [:]
        var trouble = RedisTrouble()
        /// Whether Redis was away at any time, from the first look on.
        var wasAway = false

        /// What is sent next.
        mutating func takeBatch() -> [Entry] {
            var count = 0
            var bytes = 0
            while count < waiting.count, count < RedisLink.batchLimit, bytes < RedisLink.batchBytesLimit {
                bytes += waiting[count].command.bytes.count
                count += 1
            }
            let batch = Array(waiting[..<count])
            waiting.removeFirst(count)
            waitingBytes -= bytes
            return batch
        }
    }

    let address: RedisAddress
    let settings: RedisSettings
    let keys: RedisKeys
    let logger: Logger
    /// Of this process alone: its probe, and its place in consumer groups.
    let id: String
    private let state: Mutex<State>
    private let condition = MonotonicCondition()
    /// What is done without Redis.
    let outage: RedisOutage
    private let patienceWhenFull: Duration

    /// Commands and bytes that may wait for the thread: past it Redis is too slow to be used.
    private static let waitingLimit = 20_000
    private static let waitingBytesLimit = 64 << 20
    /// A session shorter than this was no use, and the pause before the next one grows.
    private static let shortSession = Duration.seconds(1)
    private static let longestPause = Duration.seconds(4)
    private static let stackSize = 512 << 10
    /// Commands and bytes that are sent at a time, so that their answers come in time on a slow line, too.
    private static let batchLimit = 1000
    private static let batchBytesLimit = 1 << 20
    /// Before a write that found no room is tried again.
    private static let pauseWhenFull = Duration.milliseconds(50)
    /// A connection that has been idle for this long is sent a PING: a server may hang up on one that is idle
    /// (`timeout` in redis.conf, 1 s at least).
    private static let longestSilence = Duration.milliseconds(500)

    /// - Parameters:
    ///   - id: of this process.
    ///   - outage: what is done without Redis, for the log.
    ///   - patienceWhenFull: how long others have to make room in a Redis that is full, before it counts as away.
    package init(
        _ address: RedisAddress,
        _ settings: RedisSettings,
        id: String,
        outage: RedisOutage,
        patienceWhenFull: Duration = .zero,
        logger: Logger
    ) {
        self.address = address
        self.settings = settings
        self.id = id
        self.outage = outage
        self.patienceWhenFull = patienceWhenFull
        self.logger = logger
        keys = RedisKeys(prefix: settings.prefix)
        state = Mutex(State(reachability: .away(since: .now)))
    }

    var reachability: Reachability { state.withLock { $0.reachability } }

    /// Why Redis is away, as far as was seen last; nil while it is there.
    var trouble: String? { state.withLock { $0.trouble.newest?.description } }

    /// Whether Redis was away since the start: then others may have missed it as well.
    var wasAway: Bool { state.withLock { $0.wasAway } }

    var session: Int? {
        if case .up(let session) = reachability { session } else { nil }
    }

    /// Begins to look for Redis; once.
    func start(_ callbacks: Callbacks) {
        run("redis") { self.keepUp(callbacks) }
    }

    /// Ends all threads. Commands that wait are dropped: see ``flush()``.
    func stop() {
        let handles = state.withLock { state in
            state.isStopped = true
            return Array(state.handles.values)
        }
        condition.wake()
        for handle in handles { handle.interrupt() }
    }

    /// Sends a command; its answer, or nil when there will be none, goes to `then` on the link's thread.
    ///
    /// - Returns: false when Redis is away; `then` is not called.
    @discardableResult
    func send(
        _ command: RedisCommand, blame: Blame = .redis, then: (@Sendable (RedisReply?) -> Void)? = nil
    ) -> Bool {
        let (isSent, mustWake) = state.withLock { state -> (Bool, Bool) in
            guard case .up = state.reachability, state.failure == nil, !state.isStopped else { return (false, false) }
            guard state.waiting.count < Self.waitingLimit, state.waitingBytes < Self.waitingBytesLimit else {
                // What cannot be sent would be missed for as long as the session lasts: it is made again.
                state.failure = .hung
                return (false, true)
            }
            state.waiting.append(Entry(command: command, blame: blame, then: then))
            state.waitingBytes += command.bytes.count
            return (true, state.waiting.count == 1)
        }
        if mustWake { condition.wake() }
        return isSent
    }

    /// Sends a command and waits for its answer; nil when Redis is away.
    func ask(_ command: RedisCommand, blame: Blame = .redis) async -> RedisReply? {
        await withCheckedContinuation { continuation in
            let isSent = send(command, blame: blame) { continuation.resume(returning: $0) }
            if !isSent { continuation.resume(returning: nil) }
        }
    }

    /// Returns when all that was sent before is answered, or Redis is away.
    func flush() async {
        _ = await ask(RedisCommand("PING"))
    }

    /// One of the session's users has found that Redis is not to be used.
    func fail(_ error: RedisError, in session: Int) {
        state.withLock { state in
            guard state.reachability == .up(session: session), state.failure == nil else { return }
            state.failure = error
        }
        condition.wake()
    }

    /// Waits on the calling thread until `isDone` or the stop, at most for `duration`.
    private func wait(_ duration: Duration, until isDone: (borrowing State) -> Bool) {
        _ = condition.wait(atMost: duration) { state.withLock { $0.isStopped || isDone($0) } ? true : nil }
    }

    private var isStopped: Bool { state.withLock { $0.isStopped } }

    private func run(_ name: String, _ body: @escaping @Sendable () -> Void) {
        let thread = Thread { body() }
        thread.name = name
        thread.stackSize = Self.stackSize
        thread.start()
    }

    // MARK: The thread

    private func keepUp(_ callbacks: Callbacks) {
        var pause = settings.probeInterval
        var isFirst = true
        while !isStopped {
            var began: ContinuousClock.Instant?
            do throws(RedisError) {
                let connection = try RedisConnection(address, settings)
                keep(connection.handle)
                defer { forget(connection.handle) }
                try probe(connection)
                if !isFirst { wait(settings.probeInterval) { _ in false } }
                try probe(connection)
                try callbacks.prepare(connection)
                guard !isStopped else { return }
                became(.up(session: state.withLock { $0.lastSession + 1 }), because: nil, callbacks)
                began = .now
                try serve(connection, callbacks)
                return
            } catch {
                guard !isStopped else { return }
                became(.away(since: .now), because: error, callbacks)
            }
            isFirst = false
            let wasShort = began.map { .now - $0 < Self.shortSession } ?? false
            pause = wasShort ? min(pause * 2, Self.longestPause) : settings.probeInterval
            // Not all processes of a site at the same moment.
            wait(pause * Double.random(in: 0.75..<1.25)) { _ in false }
        }
    }

    /// Whether it answers and takes writes: one that is full, read-only or still loading does not.
    private func probe(_ connection: RedisConnection) throws(RedisError) {
        let lifetime = String(max(1, settings.workerTimeout.milliseconds))
        guard case .status = try connection.run(RedisCommand("SET", keys.probe(id), "1", "PX", lifetime)) else {
            throw .unexpected("SET")
        }
    }

    /// - Throws: when Redis is away; returns at a stop.
    private func serve(_ connection: RedisConnection, _ callbacks: Callbacks) throws(RedisError) {
        var fullSince: ContinuousClock.Instant?
        while true {
            wait(min(settings.probeInterval, Self.longestSilence)) { !$0.waiting.isEmpty || $0.failure != nil }
            let (entries, failure) = state.withLock { ($0.takeBatch(), $0.failure) }
            var answered = 0
            var refused: [Entry] = []
            defer { for entry in refused + entries[answered...] { entry.then?(nil) } }
            if let failure { throw failure }
            if isStopped, entries.isEmpty { return }
            let begin = ContinuousClock.now
            if entries.isEmpty { _ = try connection.run(RedisCommand("PING")) }
            for entry in entries { try connection.append(entry.command) }
            for entry in entries {
                let reply = try connection.next()
                // Each answer may be in time, and the last one still be late.
                guard ContinuousClock.now - begin < settings.commandTimeout * 2 else { throw .hung }
                if case .error(let text) = reply, entry.blame != .command {
                    if reply.isOutOfMemory {
                        answered += 1
                        refused.append(entry)
                        continue
                    }
                    guard entry.blame == .key, reply.blamesKey else { throw .refused(text) }
                }
                answered += 1
                entry.then?(reply)
            }
            guard !refused.isEmpty else {
                if !entries.isEmpty { fullSince = nil }
                continue
            }
            let hasRoom = callbacks.makeRoom()
            let since = fullSince ?? .now
            fullSince = since
            guard hasRoom || ContinuousClock.now - since < patienceWhenFull else {
                throw .refused("OOM: it has no room for what was written to it")
            }
            // After what makes room.
            state.withLock { [refused] state in
                state.waiting += refused
                state.waitingBytes += refused.reduce(0) { $0 + $1.command.bytes.count }
            }
            refused = []
            if !hasRoom { wait(Self.pauseWhenFull) { $0.failure != nil } }
        }
    }

    private func became(_ reachability: Reachability, because error: RedisError?, _ callbacks: Callbacks) {
        let (before, dropped, handles, news) = state.withLock { state in
            let before = state.reachability
            let dropped = state.waiting
            var handles: [RedisConnection.Handle] = []
            state.waiting = []
            state.waitingBytes = 0
            state.failure = nil
            let news: RedisTrouble.News?
            switch reachability {
            case .up(let session):
                state.reachability = reachability
                state.lastSession = session
                news = state.trouble.ended()
            case .away:
                state.wasAway = true
                // An outage begins once, however often it is looked at.
                if case .up = before { state.reachability = reachability }
                news = state.trouble.met(error ?? .hung)
                handles = Array(state.handles.values)
            }
            return (before, dropped, handles, news)
        }
        for handle in handles { handle.interrupt() }
        for entry in dropped { entry.then?(nil) }
        if let news { log(news) }
        if before != self.reachability { callbacks.changed(reachability) }
        condition.wake()
    }

    private func log(_ news: RedisTrouble.News) {
        switch news {
        case .over: logger.notice("redis is used again")
        case .began(let reason): outage.log(because: reason.description, logger)
        case .changed(let reason):
            logger.warning(
                "redis still cannot be used, for another reason than before", metadata: ["reason": "\(reason)"])
        }
    }

    private func keep(_ handle: RedisConnection.Handle) {
        let isStopped = state.withLock { state in
            state.handles[ObjectIdentifier(handle)] = handle
            return state.isStopped
        }
        if isStopped { handle.interrupt() }
    }

    private func forget(_ handle: RedisConnection.Handle) {
        state.withLock { $0.handles[ObjectIdentifier(handle)] = nil }
    }

    // MARK: Readers

    /// Calls `body` again and again on a thread and a connection of its own, while Redis is there.
    ///
    /// - Parameters:
    ///   - patience: how long the commands of `body` wait in Redis at most.
    ///   - body: returns soon after `patience`; false ends the reader.
    func read(
        _ name: String,
        patience: Duration,
        _ body: @escaping @Sendable (RedisConnection, _ session: Int) throws(RedisError) -> Bool
    ) {
        run(name) {
            while !self.isStopped {
                guard let session = self.session else {
                    self.wait(.seconds(1)) { if case .up = $0.reachability { true } else { false } }
                    continue
                }
                do throws(RedisError) {
                    let connection = try RedisConnection(self.address, self.settings, patience: patience)
                    self.keep(connection.handle)
                    defer { self.forget(connection.handle) }
                    while !self.isStopped, self.session == session {
                        guard try body(connection, session) else { return }
                        guard connection.silence >= Self.longestSilence else { continue }
                        _ = try connection.run(RedisCommand("PING"))
                    }
                } catch {
                    self.fail(error, in: session)
                    // Until the link has seen it.
                    self.wait(.milliseconds(100)) { $0.reachability != .up(session: session) }
                }
            }
        }
    }
}
