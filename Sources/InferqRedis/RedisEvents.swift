import InferqCore
import InferqQueue
import InferqStore
import Logging
import ServiceLifecycle
import Synchronization

/// Publishes every event of every job, for programs that listen in Redis: a cursor along the ids, as other listeners have.
///
/// It holds no events: a slow or absent Redis delays nothing, and what it missed is read from the store and published
/// when it is back, unless that is too much. Where it has got to stands in Redis, so that a restart goes on there: with
/// what the last process left, and with what the start has committed.
struct RedisEvents: Sendable {
    private let link: RedisLink
    private let queue: JobQueue
    private let peers: Peers
    private let wheel: TimerWheel
    private let logger: Logger
    private let throttle = LogThrottle()
    private let bell = Bell()
    /// The session in which Redis forbids to publish.
    private let muted = Silence()

    /// Events that are published late, after an outage; more are left out, so that those of now are not late.
    private static let backlogLimit: Int64 = 10_000
    private static let pause = Duration.seconds(1)
    /// Seconds for which Redis remembers what was published last: as long as ended jobs are kept by default.
    private static let memory = "604800"

    init(
        link: RedisLink,
        queue: JobQueue,
        peers: Peers,
        wheel: TimerWheel,
        logger: Logger
    ) {
        self.link = link
        self.queue = queue
        self.peers = peers
        self.wheel = wheel
        self.logger = logger
    }

    /// Ends on graceful shutdown, when what was committed until then is published.
    func run() async {
        queue.hub.listenToAll(bell)
        defer { queue.hub.leaveAll(bell) }
        await withTaskCancellationOrGracefulShutdownHandler {
            var cursor: Int64?
            let begin = await newest()
            var throttle = Throttle(wheel: wheel)
            while !Task.isCancelled {
                let isEnding = Task.isShuttingDownGracefully
                if cursor == nil, link.session != nil { cursor = await lastPublished(before: begin) }
                if let last = cursor { cursor = await publish(after: last) }
                if isEnding { return }
                await throttle.wait()
                let mustLookAgain = link.session == nil || cursor == nil
                _ = await wheel.wait(at: bell, atMost: mustLookAgain ? Self.pause : nil)
            }
        } onCancelOrGracefulShutdown: {
            bell.ring(.stop)
        }
    }

    private func newest() async -> Int64 {
        do {
            return try await queue.store.newestEvent()
        } catch {
            throttle.log(logger, .error, "events could not be published", metadata: ["error": "\(error)"])
            return 0
        }
    }

    /// Where the process before this one has got to; `begin` if that is not known, or the store is an older copy.
    ///
    /// - Returns: nil when Redis has gone away.
    private func lastPublished(before begin: Int64) async -> Int64? {
        guard let reply = await link.ask(RedisCommand("GET", key)) else { return nil }
        guard let last = reply.text.flatMap({ Int64($0) }), (0...begin).contains(last) else { return begin }
        guard begin - last > Self.backlogLimit else { return last }
        peers.count(published: 0, skipped: Int(begin - last))
        return begin
    }

    private var key: String { link.keys.published(of: queue.store.instance.text) }

    /// Publishes what there is.
    ///
    /// - Returns: the id to go on after.
    private func publish(after cursor: Int64) async -> Int64 {
        var cursor = cursor
        do {
            var last = cursor
            while link.session != nil {
                let page = try await queue.store.events(after: last, of: nil)
                guard try await publish(page.entries) else { break }
                last = page.last
                if page.isCut {
                    let newest = try await queue.store.newestEvent()
                    if newest - last > Self.backlogLimit {
                        peers.count(published: 0, skipped: Int(newest - last))
                        last = newest
                    }
                }
                cursor = last
                if !page.entries.isEmpty { link.send(RedisCommand("SET", key, String(last), "EX", Self.memory)) }
                guard page.isCut else { break }
            }
        } catch {
            throttle.log(logger, .error, "events could not be published", metadata: ["error": "\(error)"])
        }
        return cursor
    }

    /// `{"id", "detail_type", "status", "data"}`: the same members as in the stream of a job, with the same ones left out.
    ///
    /// - Throws: ``StoreError`` when an output cannot be read.
    private func published(_ entry: EventPage.Entry) async throws -> [UInt8] {
        var output: [UInt8]?
        if entry.event.isLast, let payload = entry.job.output { output = try await queue.store.shown(payload) }
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("id")
        writer.value(Int(entry.event.id))
        return writer.bytes + [UInt8(ascii: ",")] + Wire.event(entry.event, of: entry.job, output: output).dropFirst()
    }

    /// - Returns: false when Redis went away; then they are to be published again.
    private func publish(_ entries: [EventPage.Entry]) async throws -> Bool {
        guard let session = link.session else { return false }
        for (index, entry) in entries.enumerated() where !muted.holds(in: session) {
            var command = RedisCommand("PUBLISH", link.keys.events(of: entry.job.eventID))
            command.add(try await published(entry))
            // The last one is waited for: no more than one page is on its way.
            if index == entries.count - 1 {
                guard let reply = await link.ask(command, blame: .command) else { return false }
                receive(reply, session)
            } else {
                guard link.send(command, blame: .command, then: { receive($0, session) }) else { return false }
            }
        }
        let isMuted = muted.holds(in: session)
        peers.count(published: isMuted ? 0 : entries.count, skipped: isMuted ? entries.count : 0)
        return true
    }

    /// A user who may not publish can still carry jobs: the events are skipped, and Redis stays in use.
    private func receive(_ reply: RedisReply?, _ session: Int) {
        guard case .error(let text) = reply else { return }
        guard reply?.isForbidden == true else { return link.fail(.refused(text), in: session) }
        guard muted.begin(in: session) else { return }
        logger.warning(
            "events are not published: the user of redis may not use its channels",
            metadata: ["allow": "&\(link.keys.prefix):*", "reason": "\(RedisError.refused(text))"]
        )
    }

    /// Whether nothing is published in a session.
    private final class Silence: Sendable {
        private let session = Mutex<Int?>(nil)

        func holds(in session: Int) -> Bool { self.session.withLock { $0 == session } }

        /// - Returns: false when it holds already.
        func begin(in session: Int) -> Bool {
            self.session.withLock { known in
                defer { known = session }
                return known != session
            }
        }
    }
}
