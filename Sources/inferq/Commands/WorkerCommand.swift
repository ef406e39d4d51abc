import ArgumentParser
import Foundation
import InferqCore
import InferqHTTP
import InferqQueue
import InferqRedis
import Logging
import ServiceLifecycle

/// `inferq worker`: takes jobs of gateways on other hosts, through Redis.
struct WorkerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "worker",
        abstract: "Take jobs for gateways on other hosts, through Redis.",
        discussion: """
            It needs the Redis that the gateways use (broker.redis) and model servers of its own (models.NAME.url), and \
            no store. Exit codes: 0 stopped, 78 the configuration is wrong.
            """
    )

    @Option(help: "The one file to read, instead of /etc/inferq.", completion: .file(extensions: ["toml"]))
    var config: String?

    func run() async throws {
        let environment = ProcessInfo.processInfo.environment
        let logs = LogSetup(environment: environment)
        defer { logs.writer.flush() }
        let flags = SettingsFlags(config: config, sockets: .unneeded)
        let settings: Settings
        do {
            settings = try Settings.load(environment: environment, flags: flags)
        } catch {
            for problem in error.all { logs.say("inferq: \(problem)") }
            throw Exit.configuration
        }
        guard let redis = settings.redisInUse else {
            logs.say(
                "inferq: a worker takes its jobs from a Redis, but none is configured: set broker.redis to the one that "
                    + "the gateways use"
            )
            throw Exit.configuration
        }
        let models = settings.modelList.filter { !$0.url.isEmpty }
        guard !models.isEmpty else {
            logs.say("inferq: a worker needs a model with a url: add a table [models.NAME] with its url")
            throw Exit.configuration
        }
        let reload = WorkerReload(
            flags: flags, environment: environment, started: settings,
            threshold: logs.start(format: settings.logFormat, level: settings.logLevel),
            logger: Logger(label: "inferq")
        )
        try await serve(settings, redis, models, reload)
    }

    private func serve(
        _ settings: Settings,
        _ redis: RedisAddress,
        _ models: [ModelSettings],
        _ reload: WorkerReload
    ) async throws {
        let logger = Logger(label: "inferq")
        let host = ThisHost.name
        let name = settings.worker.name.isEmpty ? host : settings.worker.name
        // Its id is new at each start: what an earlier process of this name held is none of its business.
        let id = "\(name)-\(InstanceID.random().text.prefix(12))"
        let link = RedisLink(
            redis, settings.redis, id: id, outage: .noJobsCome, patienceWhenFull: Self.patienceWhenFull, logger: logger)
        let wheel = TimerWheel()
        let server = ModelServer(wheel: wheel, stream: { settings.stream })
        let settingsOf = Dictionary(uniqueKeysWithValues: models.map { ($0.name, $0) })
        let http = HTTPClient(connect: .seconds(10))
        let bodies = GatewayBodies(http: http, wheel: wheel, logger: logger)
        let worker = RedisWorker(
            link: link, name: name, host: host, bootID: KernelBoot.id, models: models, wheel: wheel,
            drainTimeout: settings.drainTimeout, logger: logger
        ) { offer, stop, sent in
            guard let model = settingsOf[offer.model] else { return .reply(Self.unknownModel) }
            return await bodies.attempt(offer, model, stop, sent, server)
        }
        Systemd.notify("READY=1\nSTATUS=worker \(name) for \(models.map(\.name).joined(separator: ", "))")
        try await ServiceGroup.ofProcess([wheel, worker, HealthProbe(worker, wheel: wheel, server: server), reload])
            .run()
        try await server.shutdown()
        try await http.shutdown()
        logger.info("stopped")
    }

    /// In a Redis that is full gateways take back what they offer, as soon as they write to it: with the next heartbeat.
    private static let patienceWhenFull = Duration.seconds(4)

    private static let unknownModel = Reply.failed(
        Failure(.badResponse, "the worker has no such model", isRetryable: true), retryAfter: nil
    )
}
