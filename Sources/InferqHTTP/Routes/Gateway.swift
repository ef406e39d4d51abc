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
    /// Of the listeners that speak TLS; nil without one.
    let identity: Live<TLSIdentity?>
    package let version: String
    let peers: Peers
    /// Attempts at workers on other hosts; nil without a Redis.
    let remoteAttempts: RemoteAttempts?
    /// Lines that no one read in time.
    let droppedLogLines: Counter
    package let callers: Callers
    let callTable: CurrentCallTable
    let batchArrivals = BatchArrivals()
    package let access: AccessControl
    let bodies: BodyBudget
    let sharedFrames: SharedFrames
    /// Of those who hear of answers' pieces as well.
    let sharedOutput: SharedFrames
    let metrics: HTTPMetrics
    let refusals: Refusals
    /// When this process began to serve, for operators.
    let startedAt = Timestamp.now

    package init(
        queue: JobQueue,
        wheel: TimerWheel,
        settings: Live<HTTPSettings>,
        access: AccessSettings = AccessSettings(),
        keys: KeyRing = KeyRing(),
        version: String,
        identity: Live<TLSIdentity?> = Live(nil),
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
        self.access = AccessControl(access, keys, key: queue.store.signingKey, wheel: wheel, logger: logger)
        self.wheel = wheel
        self.settings = settings
        self.version = version
        self.identity = identity
        bodies = BodyBudget()
        sharedFrames = SharedFrames(hub: queue.hub)
        sharedOutput = SharedFrames(hub: queue.hub)
        metrics = HTTPMetrics()
        refusals = Refusals()
    }

    var store: JobStore { queue.store }
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
