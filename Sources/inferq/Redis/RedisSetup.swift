import Glibc
import InferqCore
import InferqHTTP
import InferqRedis
import Logging
import ServiceLifecycle

/// All of the gateway that speaks to Redis.
struct RedisParts: Sendable {
    let broker: RedisBroker
    private let link: RedisLink
    private let site: Site

    /// Nil if no Redis is used.
    init?(_ settings: Settings, instance: InstanceID, site: Site, logger: Logger) {
        guard let address = settings.redisInUse else { return nil }
        let fallsBack = settings.broker.kind == .auto
        link = RedisLink(
            address, settings.redis, id: InstanceID.random().text, outage: fallsBack ? .ringTakesOver : .jobsWait,
            logger: logger
        )
        broker = RedisBroker(
            link: link, instance: instance.text, capacity: settings.broker.ringCapacity, fallsBack: fallsBack,
            logger: logger
        ) { site.count(refused: $0) }
        self.site = site
    }

    /// Begins to look for Redis: once it is known how workers reach this gateway.
    func start() {
        link.start()
    }

    /// The services, in the order in which they start.
    func services(
        _ elsewhere: AttemptsElsewhere,
        wheel: TimerWheel,
        logger: Logger,
        publicURL: @escaping @Sendable () -> String
    ) -> [any Service] {
        let queue = elsewhere.queue
        let keeper = AnswerKeeper(store: queue.store)
        let gateway = RedisGateway(
            link: link, broker: broker, elsewhere: elsewhere, site: site, wheel: wheel, publicURL: publicURL,
            bootID: KernelBoot.id, logger: logger
        ) { answer, model in
            try await keeper.outcome(answer, model)
        }
        let events = RedisEvents(link: link, queue: queue, site: site, wheel: wheel, logger: logger) { entry in
            try await PublishedEvent.bytes(entry, queue.store)
        }
        return [gateway, broker, events]
    }
}

/// The name of this host.
enum HostName {
    static var current: String {
        var buffer = [CChar](repeating: 0, count: 256)
        guard gethostname(&buffer, buffer.count - 1) == 0 else { return "unknown" }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
