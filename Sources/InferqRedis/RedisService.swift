package import InferqCore
package import InferqQueue
package import Logging
import ServiceLifecycle

/// All of a gateway that uses Redis: the broker, the messages and heartbeats of workers on other hosts, and the events
/// that are published.
package final class RedisService: Service {
    /// The attempts that run at workers on other hosts.
    package let remoteAttempts: RemoteAttempts
    private let link: RedisLink
    private let broker: RedisBroker
    private let gateway: RedisGateway
    private let peerWatch: PeerWatch
    private let events: RedisEvents
    private let changes: Bell

    /// - Parameters:
    ///   - broker: the queue's.
    ///   - bootID: of the kernel: a worker with the same one has died by itself, if it is gone.
    ///   - changes: rings each time Redis has come or gone, once the broker's state says so.
    package init(
        broker: RedisBroker,
        queue: JobQueue,
        peers: Peers,
        wheel: TimerWheel,
        bootID: String,
        changes: Bell,
        logger: Logger
    ) {
        self.broker = broker
        self.changes = changes
        link = broker.link
        remoteAttempts = RemoteAttempts(queue: queue, wheel: wheel, logger: logger)
        let lookBell = Bell()
        gateway = RedisGateway(
            broker: broker, remoteAttempts: remoteAttempts, peers: peers, lookBell: lookBell, logger: logger
        )
        peerWatch = PeerWatch(
            broker: broker, gateway: gateway, remoteAttempts: remoteAttempts, peers: peers, bell: lookBell,
            wheel: wheel, bootID: bootID, logger: logger
        )
        events = RedisEvents(link: link, queue: queue, peers: peers, wheel: wheel, logger: logger)
    }

    /// Begins to look for Redis: once it is known how workers reach this gateway.
    package func start() {
        link.start(
            RedisLink.Callbacks(
                prepare: { connection throws(RedisError) in try self.prepare(connection) },
                changed: { self.sessionChanged($0) },
                makeRoom: { self.broker.makeRoom() }
            )
        )
    }

    /// Takes over the models of a reload.
    package func setModels(_ names: [String]) {
        broker.setModels(names)
    }

    /// Runs until the graceful shutdown, and until the events that were committed before it are published. Attempts at
    /// workers go on there, and their outcomes wait in Redis for the next start.
    package func run() async throws {
        await withDiscardingTaskGroup { group in
            group.addTask { await self.gateway.run() }
            group.addTask { await self.peerWatch.run() }
            group.addTask { await self.broker.run() }
            group.addTask { await self.events.run() }
        }
        broker.withdrawAll()
        peerWatch.signOff()
        await link.flush()
        link.stop()
    }

    private func prepare(_ connection: RedisConnection) throws(RedisError) {
        try gateway.prepare(connection)
        try peerWatch.prepare(connection)
        try broker.prepare(connection)
    }

    private func sessionChanged(_ reachability: RedisLink.Reachability) {
        // First: while Redis is away, workers have no slots that anything could be offered to.
        peerWatch.sessionChanged(reachability)
        broker.sessionChanged()
        changes.ring(.event)
    }
}
