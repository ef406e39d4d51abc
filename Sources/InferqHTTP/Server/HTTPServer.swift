import InferqCore
import InferqQueue
package import Logging
package import NIOCore
import NIOPosix
import ServiceLifecycle
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Accepts connections and hands their requests to the responder.
package final class HTTPServer: Service {
    private struct State {
        var open: [ObjectIdentifier: any Channel] = [:]
        var isStopping = false
        /// When the log last told of connections that were refused.
        var toldOfRefusals: ContinuousClock.Instant?
    }

    /// A connection that is closed without an answer.
    private struct Refused: Error {}

    private let endpoints: [Endpoint]
    private let settings: Live<HTTPSettings>
    private let identity: Live<TLSIdentity?>
    private let responder: GatewayResponder
    private let hub: EventHub
    private let metrics: HTTPMetrics
    private let refusals: Refusals
    private let group: any EventLoopGroup
    private let executors: [EventLoopExecutor]
    private let logger: Logger
    private let state = Mutex(State())
    /// Told the addresses once every endpoint accepts.
    private let onReady: @Sendable ([String]) async -> Void

    package init(
        endpoints: [Endpoint],
        gateway: Gateway,
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
        executors: [EventLoopExecutor],
        logger: Logger,
        onReady: @escaping @Sendable ([String]) async -> Void
    ) {
        self.endpoints = endpoints
        self.settings = gateway.settings
        identity = gateway.identity
        self.group = group
        self.executors = executors
        self.logger = logger
        self.onReady = onReady
        hub = gateway.queue.hub
        metrics = gateway.metrics
        refusals = gateway.refusals
        responder = GatewayResponder(gateway: gateway, logger: logger)
    }

    /// Serves until the graceful shutdown, and returns when every request that was accepted is answered.
    ///
    /// - Throws: ``Endpoint/Unusable``.
    package func run() async throws {
        let (turns, accepted) = AsyncStream.makeStream(of: Turn.self)
        let channels = try await bindAll(accepted)
        await onReady(
            zip(channels, endpoints).compactMap { channel, endpoint in
                channel.localAddress?.listenText.map { endpoint.role == .tls ? "tls://" + $0 : $0 }
            }
        )
        await withGracefulShutdownHandler {
            await withDiscardingTaskGroup { group in
                for await turn in turns {
                    let executor = executors.first { $0.runs(on: turn.connection.eventLoop) }
                    group.addTask(executorPreference: executor) { await self.serve(turn, accepted) }
                }
            }
        } onGracefulShutdown: {
            self.stop(channels, accepted)
        }
    }

    /// What a task does: it serves a connection from the beginning, or from a long answer on.
    private struct Turn: Sendable {
        let connection: AcceptedConnection
        var long: AcceptedConnection.Long?
    }

    private func serve(_ turn: Turn, _ accepted: Accepted) async {
        await turn.connection.serve(turn.long, logger: logger) { long in
            // Once no connection is accepted any more, no task is begun either.
            if case .enqueued = accepted.yield(Turn(connection: turn.connection, long: long)) { true } else { false }
        }
    }

    // MARK: Listening

    private typealias Accepted = AsyncStream<Turn>.Continuation

    private func bindAll(_ accepted: Accepted) async throws -> [any Channel] {
        var channels: [any Channel] = []
        for endpoint in endpoints {
            let bootstrap = bootstrap.settingUp { try self.setUp($0, endpoint.role, accepted) }
            do {
                let channel = try await endpoint.bind(bootstrap)
                channels.append(channel)
                try await watchPeers(channel)
            } catch {
                for channel in channels { channel.close(promise: nil) }
                throw error
            }
        }
        return channels
    }

    private var bootstrap: ServerBootstrap {
        ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 4096)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            // Each connection keeps the buffer that it reads into: large enough for most requests, and larger ones make
            // it grow.
            .childChannelOption(
                .recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 512, initial: 1024, maximum: 64 << 10)
            )
            // Small, so that for a listener that does not read there waits one frame and the kernel's buffer, no more.
            .childChannelOption(.writeBufferWaterMark, value: .init(low: 1, high: 16 << 10))
    }

    /// A peer that vanished without a word is found within three times the setting, also when data waits for it: after
    /// 45 s of silence, or 40 s after the first byte that it did not confirm, so that a heartbeat keeps it within a
    /// minute. Accepted sockets take these over from the endpoint (tcp(7), Linux): it costs nothing per connection.
    private func watchPeers(_ channel: any Channel) async throws {
        guard let address = channel.localAddress, address.protocol != .unix else { return }
        let idle = max(1, settings.current.keepalive.milliseconds / 1000)
        let probe = max(1, idle * 2 / 3)
        let options: [(NIOBSDSocket.OptionLevel, CInt, CInt)] = [
            (.socket, SO_KEEPALIVE, 1), (.tcp, TCP_NODELAY, 1), (.tcp, TCP_KEEPIDLE, CInt(idle)),
            (.tcp, TCP_KEEPINTVL, CInt(probe)), (.tcp, TCP_KEEPCNT, 3),
            (.tcp, TCP_USER_TIMEOUT, CInt(idle + 3 * probe - probe / 2) * 1000),
        ]
        for (level, name, value) in options {
            let option = ChannelOptions.Types.SocketOption(level: level, name: NIOBSDSocket.Option(rawValue: name))
            try await channel.setOption(option, value: ChannelOptions.Types.SocketOption.Value(value)).get()
        }
    }

    private func setUp(_ channel: any Channel, _ role: Endpoint.Role, _ accepted: Accepted) throws {
        var settings = settings.current
        let tls = role == .tls ? identity.current.map { TLSStages($0, metrics: metrics, logger: logger) } : nil
        // The configuration's reader has seen to it that there is one.
        guard role != .tls || tls != nil else { throw Refused() }
        let (count, isStopping) = state.withLock { state in
            guard state.open.count < settings.connections + settings.refusals else { return (Int.max, false) }
            state.open[ObjectIdentifier(channel)] = channel
            return (state.open.count, state.isStopping)
        }
        let isRefused = count > settings.connections
        if isRefused {
            tellOfRefusals(settings)
            guard count < Int.max else { throw Refused() }
            settings.headTimeout = min(settings.headTimeout, HTTPSettings.refusalTimeout)
        }
        metrics.accepted.add()
        metrics.connections.add()
        if isRefused {
            metrics.refused.add()
            refusals.note(.tooManyConnections, logger)
        }
        channel.closeFuture.whenComplete { _ in
            self.metrics.connections.add(-1)
            self.state.withLock { $0.open[ObjectIdentifier(channel)] = nil }
        }
        let connection = try AcceptedConnection(
            channel, settings: settings, origin: Self.origin(of: channel, role), tls: tls, isRefused: isRefused,
            responder: responder
        )
        accepted.yield(Turn(connection: connection))
        if isStopping { channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent()) }
    }

    private static func origin(of channel: any Channel, _ role: Endpoint.Role) -> Connection.Origin {
        guard channel.parent?.localAddress?.protocol == .unix else {
            return .network(address: channel.remoteAddress?.ipAddress)
        }
        return role == .admin ? .admin : .local
    }

    /// Once a minute: a server that refuses clients says so, and a flood does not fill the log.
    private func tellOfRefusals(_ settings: HTTPSettings) {
        let now = ContinuousClock.now
        let isDue = state.withLock { state in
            if let last = state.toldOfRefusals, now - last < .seconds(60) { return false }
            state.toldOfRefusals = now
            return true
        }
        guard isDue else { return }
        logger.warning(
            "connections are refused: there are as many as limits.connections and the limit of open files allow",
            metadata: ["connections": "\(settings.connections)"]
        )
    }

    // MARK: Stopping

    private func turnOfEveryLoop() -> EventLoopFuture<Void> {
        EventLoopFuture.andAllComplete(group.makeIterator().map { $0.submit {} }, on: group.any())
    }

    /// No new connection is accepted; every request on one that was accepted is answered; streams and waits end.
    private func stop(_ channels: [any Channel], _ accepted: Accepted) {
        // Closing an endpoint while an accept is in flight resets that client. So it is taken out of the poll first;
        // then every loop has its turn, which sets up what was accepted before, and once more, which hands it on; only
        // an endpoint with nothing in flight is closed.
        let loop = group.any()
        EventLoopFuture.andAllComplete(channels.map { $0.setOption(.autoRead, value: false) }, on: loop)
            .flatMap { self.turnOfEveryLoop() }
            .flatMap { self.turnOfEveryLoop() }
            .flatMap { EventLoopFuture.andAllComplete(channels.map { $0.close() }, on: loop) }
            .whenComplete { _ in accepted.finish() }
        hub.stop()
        let open = state.withLock { state in
            state.isStopping = true
            return Array(state.open.values)
        }
        for channel in open { channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent()) }
    }
}

extension SocketAddress {
    /// As in the setting `listen`.
    var listenText: String? {
        switch self {
        case .v4: port.flatMap { port in ipAddress.map { "\($0):\(port)" } }
        case .v6: port.flatMap { port in ipAddress.map { "[\($0)]:\(port)" } }
        case .unixDomainSocket: pathname.map { "unix:\($0)" }
        }
    }
}
