/// How this process uses a Redis, and how patient it is with it; the configuration's reader has checked it.
package struct RedisSettings: Sendable, Equatable {
    /// Begins every key and channel.
    package var prefix = "inferq"
    package var connectTimeout: Duration = .seconds(1)
    /// How old an unanswered command may become before Redis counts as away.
    package var commandTimeout: Duration = .seconds(1)
    /// Between two looks at a Redis that is away, and how long one that is there may be silent before it is sent a PING.
    package var probeInterval: Duration = .milliseconds(500)
    /// How often a worker, or a gateway, says that it lives.
    package var heartbeat: Duration = .seconds(2)
    /// The age of the last heartbeat at which its sender counts as dead.
    package var workerTimeout: Duration = .seconds(10)
    /// How long a worker may take to show itself after Redis was away.
    package var workerGrace: Duration = .seconds(60)

    package init() {}
}
