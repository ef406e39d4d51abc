import Logging

/// What is done without Redis.
package enum RedisOutage: Sendable {
    case ringTakesOver
    case jobsWait
    /// In a worker on another host.
    case noJobsCome

    func log(because reason: String, _ logger: Logger) {
        let metadata: Logger.Metadata = ["reason": "\(reason)"]
        switch self {
        case .ringTakesOver:
            logger.warning(
                "redis cannot be used: jobs go through the internal ring until it can be", metadata: metadata)
        case .jobsWait: logger.warning("redis cannot be used: jobs wait until it can be", metadata: metadata)
        case .noJobsCome:
            logger.warning("redis cannot be used: no job can be taken until it can be", metadata: metadata)
        }
    }
}
