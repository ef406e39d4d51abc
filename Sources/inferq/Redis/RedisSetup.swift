import Glibc
import InferqCore
import InferqHTTP
import InferqRedis
import Logging
import ServiceLifecycle

extension BrokerSettings {
    /// Where Redis is; nil if none is used.
    var redisSettings: RedisSettings? {
        guard usesRedis, var found = Self.place(redis) else { return nil }
        found.prefix = prefix
        found.connectTimeout = connectTimeout
        found.commandTimeout = commandTimeout
        found.probeInterval = probeInterval
        found.heartbeat = heartbeat
        found.deadAfter = workerTimeout
        found.grace = workerGrace
        return found
    }

    /// Nil for a text that the configuration's reader refuses.
    private static func place(_ text: String) -> RedisSettings? {
        if let socket = AddressRules.RedisSocket(text) {
            var settings = RedisSettings(place: .unix(path: socket.path))
            settings.database = socket.database
            return settings
        }
        // The reader has checked it.
        guard let address = try? WebAddress(text, example: "") else { return nil }
        let host = address.host.hasPrefix("[") ? String(address.host.dropFirst().dropLast()) : address.host
        var settings = RedisSettings(place: .tcp(host: host, port: address.port ?? 6379))
        if let credentials = address.credentials {
            let parts = credentials.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            let words = parts.map { String($0).percentDecoded ?? String($0) }
            settings.password = words.last
            if words.count == 2, let user = words.first, !user.isEmpty { settings.user = user }
        }
        settings.database = Int(address.path.dropFirst()) ?? 0
        return settings
    }
}

/// All of the gateway that speaks to Redis.
struct RedisParts: Sendable {
    let broker: RedisBroker
    private let link: RedisLink
    private let site: Site

    /// Nil if no Redis is used.
    init?(_ settings: BrokerSettings, instance: InstanceID, site: Site, logger: Logger) {
        guard let redis = settings.redisSettings else { return nil }
        let outage: RedisOutage = settings.kind == .redis ? .jobsWait : .ringTakesOver
        link = RedisLink(redis, id: InstanceID.random().text, outage: outage, logger: logger)
        broker = RedisBroker(
            link: link, instance: instance.text, capacity: settings.ringCapacity, fallsBack: settings.kind == .auto,
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
