import InferqCore
import InferqHTTP
import Logging
import ServiceLifecycle
import Synchronization
import UnixSignals

/// A gateway that is ready to run.
struct PreparedGateway: Sendable {
    let serve: Serve
    let queue: OpenedQueue
}

/// Holds the sockets from systemd while the gateway cannot start: says why, and tries again.
///
/// To end instead would be worse: a client that waits in the socket starts the service again at once, and systemd's
/// limit on that closes the port for good.
final class Degraded: Service {
    private enum Wake: Sendable { case signal, timer }

    private let endpoints: [Endpoint]
    private let identity: Live<TLSIdentity?>
    private let rules: Live<AccessPolicy?>
    private let prepare: @Sendable () async throws -> PreparedGateway
    private let logger: Logger
    private let reason: Mutex<String>
    private let prepared = Mutex<PreparedGateway?>(nil)

    /// Between two tries. Unchanged files are not parsed again, so a try costs next to nothing.
    private static let pause: Duration = .seconds(10)

    /// - Parameters:
    ///   - identity: filled by `prepare` as soon as it is known.
    ///   - rules: likewise.
    /// - Returns: what `prepare` has made, at once or after a time as a degraded gateway; nil when a stop came first.
    /// - Throws: ``Endpoint/Unusable``.
    static func untilPrepared(
        endpoints: [Endpoint],
        identity: Live<TLSIdentity?>,
        rules: Live<AccessPolicy?>,
        logs: LogSetup,
        _ prepare: @escaping @Sendable () async throws -> PreparedGateway
    ) async throws -> PreparedGateway? {
        do {
            return try await prepare()
        } catch {
            logs.start(format: .auto, level: .info)
            let degraded = Degraded(
                endpoints: endpoints, identity: identity, rules: rules, reason: Self.text(of: error), prepare)
            let group = ServiceGroup(
                configuration: ServiceGroupConfiguration(
                    services: [
                        .init(service: degraded, successTerminationBehavior: .gracefullyShutdownGroup)
                    ],
                    gracefulShutdownSignals: [.sigterm, .sigint],
                    logger: Logger(label: "inferq.services") { _ in SwiftLogNoOpLogHandler() }
                )
            )
            try await group.run()
            return degraded.prepared.withLock { $0 }
        }
    }

    private init(
        endpoints: [Endpoint],
        identity: Live<TLSIdentity?>,
        rules: Live<AccessPolicy?>,
        reason: String,
        _ prepare: @escaping @Sendable () async throws -> PreparedGateway
    ) {
        self.endpoints = endpoints
        self.identity = identity
        self.rules = rules
        self.prepare = prepare
        self.reason = Mutex(reason)
        logger = Logger(label: "inferq")
    }

    func run() async throws {
        let server = DegradedServer(
            endpoints: endpoints, reason: current, version: Version.text, identity: identity, rules: rules)
        try await server.start()
        announce()
        Systemd.notify("READY=1\nSTATUS=\(status)")
        await cancelWhenGracefulShutdown {
            await withTaskGroup(of: Void.self) { group in
                let (wakes, wake) = AsyncStream.makeStream(of: Wake.self, bufferingPolicy: .bufferingNewest(4))
                group.addTask {
                    for await _ in await StartSignals.hangUps() { wake.yield(.signal) }
                }
                group.addTask {
                    while !Task.isCancelled {
                        // Cancelled is all that a sleep can be.
                        try? await Task.sleep(for: Self.pause)
                        wake.yield(.timer)
                    }
                }
                group.addTask {
                    // The loops alone: there is no store to be asked.
                    let watchdog = Watchdog(probe: { await Watchdog.turnOfEveryLoop() }, status: { _ in self.status })
                    // It throws nothing: it ends when it is cancelled.
                    try? await watchdog.run()
                }
                for await wake in wakes where !Task.isCancelled {
                    if await self.tryAgain(wake, server) { break }
                }
                group.cancelAll()
            }
        }
        let isStopped = Task.isShuttingDownGracefully
        try await server.stop()
        guard isStopped else { return }
        // The process ends: the answers have no event loop any more then, and a gateway that is ready has no use.
        await server.drain()
        await prepared.withLock { $0.take() }?.queue.queue.store.close()
    }

    /// - Returns: whether the gateway can run now.
    private func tryAgain(_ wake: Wake, _ server: DegradedServer) async -> Bool {
        if case .signal = wake { Systemd.notify(Systemd.reloading()) }
        do {
            let made = try await prepare()
            prepared.withLock { $0 = made }
            logger.notice("the gateway is no longer degraded")
            return true
        } catch {
            let text = Self.text(of: error)
            let isNew = reason.withLock { reason in
                defer { reason = text }
                return reason != text
            }
            if isNew {
                server.reason = text
                announce()
            }
            if case .signal = wake { Systemd.notify("READY=1\nSTATUS=\(status)") }
            return false
        }
    }

    private var current: String { reason.withLock { $0 } }

    private var status: String { "degraded: \(current)" }

    private func announce() {
        logger.error("the gateway is degraded", metadata: ["reason": "\(current)"])
    }

    /// One line: the first problem in full, the number of the others. `inferq check` says all of them.
    private static func text(of error: any Error) -> String {
        guard let problems = error as? SettingsProblems else { return "\(error)".visible() }
        let rest = problems.all.count - 1
        let first = problems.all.first?.description ?? "the configuration is wrong"
        return rest > 0 ? "\(first) (and \(rest) more: inferq check)" : first
    }
}
