import Glibc
import InferqCore
import InferqHTTP
import InferqQueue
import InferqRedis
import InferqStore
import Logging
import NIOPosix
import ServiceLifecycle
import Synchronization

/// The wiring of the gateway: what there is, what needs what, and in which order it stops.
struct Serve {
    let settings: Settings
    let flags: SettingsFlags
    let environment: [String: String]
    /// Sockets from systemd; they replace the setting.
    let inherited: [Endpoint]
    let identity: Live<TLSIdentity?>
    let logs: LogSetup

    /// Opens what may be refused: the log, the store, the queue.
    ///
    /// - Throws: ``StoreError``.
    func open() async throws -> OpenedQueue {
        logs.start(format: settings.logFormat, level: settings.logLevel)
        let logger = Logger(label: "inferq")
        // A large store after a crash takes its time; nothing is gained by beginning again.
        Systemd.notify(Systemd.extending(by: .seconds(300)))
        let store = try openStore(logger)
        let publicURL = PublicURL(settings)
        let peers = Peers()
        let redis = redisBroker(store, peers, logger) { publicURL.text }
        let broker: any Broker = redis ?? RingBroker(capacity: settings.broker.ringCapacity)
        do {
            let queue = try JobQueue(store: store, broker: broker, models: settings.modelList)
            return OpenedQueue(queue: queue, redis: redis, peers: peers, publicURL: publicURL)
        } catch {
            await store.close()
            throw error
        }
    }

    /// Runs until SIGTERM or SIGINT has been obeyed.
    ///
    /// - Throws: ``Endpoint/Unusable``.
    func run(_ opened: OpenedQueue) async throws {
        let queue = opened.queue
        let store = queue.store
        let logger = Logger(label: "inferq")
        let threshold = logs.start(format: settings.logFormat, level: settings.logLevel)
        for warning in settings.warnings { logger.warning("\(warning)") }
        for problem in settings.authorityProblems { logger.warning("\(problem)") }
        if let trouble = identity.current?.certificate.trouble(at: .now) { logger.warning("\(trouble)") }
        let affordable = settings.affordableHTTP
        if affordable.connections < settings.http.connections {
            logger.warning(
                "the limit of open files lowers limits.connections; raise it (LimitNOFILE of systemd, or ulimit -n)",
                metadata: ["connections": "\(affordable.connections)", "open_files": "\(OpenFiles.limit)"]
            )
        }
        queue.setRunningLimits(settings.runningLimits)
        let live = Live(settings)
        let wheel = TimerWheel()
        let publicURL = opened.publicURL
        let modelServer = ModelServer(wheel: wheel, stream: { live.current.stream })
        let attempts = LocalAttempts(
            modelServer, queue: queue, wheel: wheel, publicURL: { publicURL.text }, logger: logger)
        let executors = EventLoopExecutor.all(of: MultiThreadedEventLoopGroup.singleton)
        let worker = Worker(
            queue: queue, wheel: wheel, drainTimeout: { live.current.drainTimeout }, logger: logger,
            executors: executors, reach: attempts.reach, call: attempts.attempt
        )
        let peers = opened.peers
        let statusChanges = Bell()
        let redis = opened.redis.map {
            RedisService(
                broker: $0, queue: queue, peers: peers, wheel: wheel, bootID: KernelBoot.id,
                changes: statusChanges, logger: logger)
        }
        let http = Live(affordable)
        let gateway = Gateway(
            queue: queue, wheel: wheel, settings: http, access: settings.access, keys: settings.keys,
            version: Version.text, identity: identity, peers: peers, remoteAttempts: redis?.remoteAttempts,
            droppedLogLines: logs.writer.dropped, logger: logger
        )
        let endpoints = inherited.isEmpty ? settings.listen : inherited
        let server = HTTPServer(
            endpoints: endpoints,
            gateway: gateway,
            executors: executors,
            logger: logger
        ) { addresses in
            publicURL.choose(from: addresses)
            worker.start()
            redis?.start()
            logger.info(
                "ready",
                metadata: [
                    "version": "\(Version.text)", "listen": .array(addresses.map { "\($0)" }),
                    "models": .array(queue.models.map { "\($0.name)" }),
                    "broker": settings.redisInUse != nil ? "redis" : "ring",
                ]
            )
            StartupCode.release()
            Systemd.notify("READY=1\nSTATUS=\(StatusLine(of: queue).text(isStopping: false))")
        }
        var flags = flags
        flags.listening = endpoints
        let reload = Reload(
            flags: flags, environment: environment, live: live, queue: queue, http: http, access: gateway.access,
            identity: identity,
            worker: worker, redis: redis, threshold: threshold, statusChanges: statusChanges, logger: logger
        )
        // Stopped from last to first, each awaited: the worker drains while clients are still served; then the server
        // answers what it has accepted; the wheel goes last, since everyone waits by it.
        var services: [any Service] = [
            wheel, queue.scheduler, Sweeper(queue: queue, wheel: wheel, logger: logger),
        ]
        if let redis { services.append(redis) }
        services += [
            Retention(store: store, wheel: wheel, logger: logger) { live.current.retention }, gateway.callers,
            BatchRunner(gateway: gateway, logger: logger), server,
            HealthProbe(queue, wheel: wheel, server: modelServer), worker, reload,
        ]
        if Systemd.hasManager {
            let watchdog = Watchdog(queue, changes: statusChanges)
            services = [watchdog] + services + [watchdog.farewell]
        }
        let group = ServiceGroup.ofProcess(services)
        let result = await Result { try await group.run() }
        Systemd.notify(Systemd.extending(by: .seconds(60)))
        try await modelServer.shutdown()
        await store.close()
        try result.get()
        logger.info("stopped")
    }

    private func openStore(_ logger: Logger) throws -> JobStore {
        let store = try JobStore(
            settings.store, models: settings.modelList.map(\.name), bootID: KernelBoot.id,
            remoteAttempts: settings.redisInUse != nil ? .keep : .interrupt(reason: "Redis is no longer configured")
        ) { [logs] error in
            logger.critical("the store cannot continue, ending the process", metadata: ["error": "\(error)"])
            logs.writer.flush()
            // Nothing may be acknowledged any more, and no clean-up may touch the file: codes of sysexits.h.
            if case .damaged = error { _exit(65) }
            _exit(74)
        }
        let recovery = store.recovery
        logger.info(
            "store opened",
            metadata: [
                "path": "\(settings.store.path)", "sqlite": "\(recovery.sqliteVersion)",
                "epoch": .stringConvertible(recovery.epoch),
                "interrupted": .stringConvertible(recovery.interrupted),
                "poisoned": .stringConvertible(recovery.poisoned),
                "orphans": .stringConvertible(recovery.orphans),
                "elsewhere": .stringConvertible(recovery.remoteAttempts.count),
            ]
        )
        if let upgrade = recovery.upgrade {
            logger.notice(
                "store upgraded, the older one is kept beside it",
                metadata: ["schema": .stringConvertible(upgrade.schema), "copy": "\(upgrade.copy)"]
            )
        }
        tell(of: recovery.clock, logger)
        for job in recovery.poisonedJobs {
            logger.warning(
                "job ended in ERROR: the gateway crashed three times while it ran",
                metadata: ["job_id": "\(job.id)", "model": "\(job.model)", "attempt": .stringConvertible(job.attempt)]
            )
        }
        return store
    }

    private func tell(of finding: StoreClock.Finding?, _ logger: Logger) {
        switch finding {
        case .set(let by):
            logger.warning(
                "the wall clock was set while the gateway was stopped; durations are not affected",
                metadata: ["by_seconds": .stringConvertible(by.milliseconds / 1000)]
            )
        case .behind(let by):
            logger.warning(
                "the wall clock is behind the newest entry of the store; times are shown as the wall clock says",
                metadata: ["by_seconds": .stringConvertible(by.milliseconds / 1000)]
            )
        case nil: break
        }
    }
}

/// The queue on its store, and what is given to those that use it.
struct OpenedQueue: Sendable {
    let queue: JobQueue
    let redis: RedisBroker?
    let peers: Peers
    let publicURL: PublicURL
}

/// How model servers reach the gateway: as configured, or the first TCP endpoint once that is known.
final class PublicURL: Sendable {
    private let value: Mutex<String>

    init(_ settings: Settings) {
        value = Mutex(settings.publicURL)
    }

    var text: String { value.withLock { $0 } }

    func choose(from addresses: [String]) {
        value.withLock { value in
            let tcp = addresses.filter { !$0.hasPrefix("unix:") }
            // A model server on this host need not know who has signed the gateway's certificate.
            guard value.isEmpty, let address = tcp.first(where: { !$0.hasPrefix("tls:") }) ?? tcp.first else { return }
            let reachable = address.replacing("0.0.0.0:", with: "127.0.0.1:").replacing("[::]:", with: "[::1]:")
            value = reachable.hasPrefix("tls:") ? "https:" + reachable.dropFirst(4) : "http://" + reachable
        }
    }
}
