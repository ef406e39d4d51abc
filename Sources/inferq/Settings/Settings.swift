import InferqCore
import InferqHTTP
import Logging

/// Everything that the operator decides, checked; the defaults are those of the documentation.
struct Settings: Sendable, Equatable {
    /// Sockets from systemd replace this list.
    var listen: [Endpoint] = [.tcp(host: "127.0.0.1", port: 8484)]
    /// How model servers reach the gateway, without a slash at the end; empty: the first TCP endpoint.
    var publicURL = ""
    /// Names accepted in Host beside IP addresses and localhost, in lower case.
    var hosts: [String] = []
    /// Browser origins that may call from elsewhere, as browsers write them.
    var origins: [String] = []
    /// How long a synchronous submit waits at most.
    var syncWait: Duration = .seconds(55)
    /// Bytes of a request's body.
    var maxBody = 16 << 20
    /// Silence on an event stream after which a comment is sent.
    var heartbeat: Duration = .seconds(15)
    /// How long running attempts may go on when the gateway stops.
    var drainTimeout: Duration = .seconds(30)
    var logLevel: Logger.Level = .info
    var logFormat: LogFormat = .auto
    var limits = LimitSettings()
    var store = StoreSettings()
    var broker = BrokerSettings()
    var worker = WorkerSettings()
    /// By name.
    var models: [String: ModelSettings] = [:]
}

/// `[limits]`: what one client may take.
struct LimitSettings: Sendable, Equatable {
    var connections = 4096
    /// For the whole head of a request.
    var headTimeout: Duration = .seconds(10)
    /// Bytes of a request's head.
    var head = 64 << 10
    var headerFields = 100
    /// Bytes of the target in the request line.
    var target = 16 << 10
    /// Bytes per second that a body must come in with, after 10 s; 0: any.
    var bodyMinRate = 1 << 10
    /// How long a kept-alive connection may be without a request.
    var idleTimeout: Duration = .seconds(75)
    /// How long a listener may not read.
    var listenerTimeout: Duration = .seconds(10)
    /// Bytes of all bodies that are on their way in.
    var bodiesInFlight = 128 << 20
    /// Silence after which TCP asks whether the other side still lives; after three times as long it is dead.
    var keepalive: Duration = .seconds(15)
    /// Progress and layers that one job may tell of.
    var eventsPerJob = 10_000
}

/// `[store]`.
struct StoreSettings: Sendable, Equatable {
    enum Synchronous: String, Sendable, CaseIterable {
        case full
        /// A power cut may lose the last moments; a crash of the program never does.
        case normal
    }

    var path = "/var/lib/inferq/inferq.db"
    var synchronous = Synchronous.full
    /// How long ended jobs are kept; zero: for ever.
    var retention: Duration = .seconds(7 * 86_400)
    /// Bytes of ended jobs; past it the oldest go first.
    var maxBytes = 8 << 30
    /// Free bytes of the disk below which submits are refused.
    var minFree = 256 << 20
    /// Bytes held in reserve for a full disk.
    var ballast = 64 << 20
    /// Connections that read.
    var readers = 4
    /// Bytes that the write-ahead log may grow to before a checkpoint is forced.
    var walLimit = 64 << 20
}

/// `[broker]`.
struct BrokerSettings: Sendable, Equatable {
    enum Kind: String, Sendable, CaseIterable {
        /// Redis if one is configured, with the ring in its place while it is away.
        case auto
        case ring
        case redis
    }

    var kind = Kind.auto
    /// `redis://...` or `unix:/path`; empty: none. It may hold a password: never log it.
    var redis = ""
    /// Slots of the ring.
    var ringCapacity = 4096
    /// Begins every Redis key and channel.
    var prefix = "inferq"
    /// How long a connection to Redis may take to come about.
    var connectTimeout: Duration = .seconds(1)
    /// How long Redis may leave a command unanswered before it counts as away.
    var commandTimeout: Duration = .seconds(1)
    /// Between two looks at a Redis that is away.
    var probeInterval: Duration = .milliseconds(500)
    /// How often gateways and workers say in Redis that they live.
    var heartbeat: Duration = .seconds(2)
    /// The age of a heartbeat at which its worker counts as dead.
    var workerTimeout: Duration = .seconds(10)
    /// How long workers may take to show themselves after Redis was away.
    var workerGrace: Duration = .seconds(60)

    /// Whether jobs go through Redis as long as it is there.
    var usesRedis: Bool { kind != .ring && !redis.isEmpty }
}

/// `[worker]`: for `inferq worker`.
struct WorkerSettings: Sendable, Equatable {
    /// Shown to people; empty: the host's name.
    var name = ""
}
