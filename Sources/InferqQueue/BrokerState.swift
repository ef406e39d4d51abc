package import InferqCore

/// Which way jobs go to workers at this moment.
package enum BrokerState: Sendable, Equatable {
    case ring
    case redis
    /// - Parameters:
    ///   - reason: why, as far as was seen last.
    ///   - ringTakesOver: whether jobs go through the ring meanwhile; otherwise they wait.
    case redisAway(since: Timestamp, reason: String?, ringTakesOver: Bool)

    package enum Kind: String, Sendable, CaseIterable {
        case ring, redis
    }

    /// What carries jobs now, or will once it can be used.
    package var kind: Kind {
        switch self {
        case .ring, .redisAway(_, _, ringTakesOver: true): .ring
        case .redis, .redisAway(_, _, ringTakesOver: false): .redis
        }
    }

    /// As clients and operators see it: the kind, and what is wrong.
    package var text: String {
        switch self {
        case .ring, .redis: return kind.rawValue
        case .redisAway(let since, let reason, let ringTakesOver):
            let unreachable = "unreachable since \(since.rfc3339)" + (reason.map { ": \($0)" } ?? "")
            return ringTakesOver ? "ring (redis \(unreachable))" : "redis (\(unreachable))"
        }
    }
}
