package import InferqCore
package import InferqQueue
import InferqStore
package import Logging
import NIOCore
import Synchronization

/// What the routes work with: the queue, the clock and the settings.
package struct Gateway: Sendable {
    package let queue: JobQueue
    package let wheel: TimerWheel
    package let settings: Live<HTTPSettings>
    package let version: String
    let peers: Peers
    /// Attempts at workers on other hosts; nil without a Redis.
    let remoteAttempts: RemoteAttempts?
    /// Lines that nobody read in time.
    let droppedLogLines: Counter
    package let callers: Callers
    let callTable: CurrentCallTable
    let bodies: BodyBudget
    let sharedFrames: SharedFrames
    let metrics: HTTPMetrics
    let refusals: Refusals
    /// When this process began to serve, for operators.
    let startedAt = Timestamp.now

    package init(
        queue: JobQueue,
        wheel: TimerWheel,
        settings: Live<HTTPSettings>,
        version: String,
        peers: Peers = Peers(),
        remoteAttempts: RemoteAttempts? = nil,
        droppedLogLines: Counter = Counter(),
        logger: Logger = Logger(label: "inferq")
    ) {
        self.peers = peers
        self.remoteAttempts = remoteAttempts
        self.droppedLogLines = droppedLogLines
        self.queue = queue
        callers = Callers(queue: queue, wheel: wheel, settings: settings, logger: logger)
        callTable = CurrentCallTable(queue)
        self.wheel = wheel
        self.settings = settings
        self.version = version
        bodies = BodyBudget()
        sharedFrames = SharedFrames(hub: queue.hub)
        metrics = HTTPMetrics()
        refusals = Refusals()
    }

    var store: JobStore { queue.store }

    /// Why there is no job with this `id` or `event_id`: never was, deleted, or another gateway's.
    func missing(_ id: UUIDv7) async throws -> APIError {
        if try await store.isDeleted(id) { return .gone(id) }
        return peers.owner(of: id).map { .otherGateway(id, $0) } ?? .noSuchJob(id)
    }
}

/// Bytes of request bodies that are on their way in, over all connections.
final class BodyBudget: Sendable {
    private let used = Mutex(0)

    /// - Returns: false, with nothing taken, when that would pass `limit`.
    func take(_ count: Int, limit: Int) -> Bool {
        used.withLock { used in
            guard used + count <= limit else { return false }
            used += count
            return true
        }
    }

    func give(back count: Int) {
        used.withLock { $0 -= count }
    }
}
