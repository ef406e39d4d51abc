import Glibc
import InferqCore
import InferqQueue
import InferqRedis
import InferqStore
import Logging

extension Serve {
    /// The broker over Redis, to which it does not connect yet; nil if no Redis is used.
    func redisBroker(
        _ store: JobStore, _ peers: Peers, _ logger: Logger, publicURL: @escaping @Sendable () -> String
    ) -> RedisBroker? {
        guard let address = settings.redisInUse else { return nil }
        let outage: RedisOutage = settings.broker.kind == .redis ? .jobsWait : .ringTakesOver
        return RedisBroker(
            link: RedisLink(address, settings.redis, id: InstanceID.random().text, outage: outage, logger: logger),
            store: store, models: settings.modelList.map(\.name), capacity: settings.broker.ringCapacity, peers: peers,
            logger: logger, publicURL: publicURL
        )
    }
}

/// The name of this host.
enum ThisHost {
    static var name: String {
        var buffer = [CChar](repeating: 0, count: 256)
        guard gethostname(&buffer, buffer.count - 1) == 0 else { return "unknown" }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
