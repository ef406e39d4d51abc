import InferqCore
import InferqHTTP
import InferqRedis
import InferqStore
import Logging

/// Everything that the operator decides, checked. A new one holds the defaults.
///
/// What a part of the program uses is that part's own struct; keys, ranges and what a reload changes stand in ``rows``.
struct Settings: Sendable, Equatable {
    /// Sockets from systemd replace this list.
    var listen: [Endpoint] = [.tcp(host: "127.0.0.1", port: 8484)]
    /// How model servers reach the gateway, without a slash at the end; empty: the first TCP endpoint.
    var publicURL = ""
    /// How long running attempts may go on when the gateway stops.
    var drainTimeout: Duration = .seconds(30)
    var logLevel: Logger.Level = .info
    var logFormat: LogFormat = .auto
    var http = HTTPSettings()
    var tls = TLSSettings()
    var access = AccessSettings()
    /// What the folder `access.keys` holds; in mode `open` no one asks for it.
    var keys = KeyRing()
    var stream = StreamSettings()
    var store = StoreSettings()
    var retention = RetentionSettings()
    var broker = BrokerSettings()
    var redis = RedisSettings()
    var worker = WorkerSettings()
    /// By name.
    var models: [String: ModelSettings] = [:]

    init(_ profile: StoreSettings.Profile = .standard) {
        guard profile == .flash else { return }
        store.profile = .flash
        store.pageSize = 1024
        stream.flush = .milliseconds(250)
    }

    /// The models, sorted by name.
    var modelList: [ModelSettings] {
        models.values.sorted { $0.name < $1.name }
    }

    /// How many jobs of each client may run, of those that have a limit.
    var runningLimits: [String: Int] {
        guard access.mode == .keys else { return [:] }
        let limited = keys.clients.filter { $0.limits.maxRunning > 0 }
        return Dictionary(uniqueKeysWithValues: limited.map { ($0.name, $0.limits.maxRunning) })
    }

    /// The Redis through which jobs go while it is there; nil: the ring carries them all.
    var redisInUse: RedisAddress? { broker.kind == .ring ? nil : broker.redis }

    /// ``http`` with as many connections as the limit of open files leaves room for.
    var affordableHTTP: HTTPSettings {
        var http = http
        (http.connections, http.refusals) = OpenFiles.share(of: http.connections, beside: modelList)
        return http
    }
}

/// Which broker carries jobs to workers.
struct BrokerSettings: Sendable, Equatable {
    enum Kind: String, Sendable, CaseIterable {
        /// Redis if one is configured, with the ring in its place while it is away.
        case auto
        case ring
        case redis
    }

    var kind = Kind.auto
    var redis: RedisAddress?
    /// Whether everyone on a Redis on another host may see all events and speak as a worker, in mode `keys` too.
    var trusted = false
    /// Slots of the ring.
    var ringCapacity = 4096
}

/// For `inferq worker`.
struct WorkerSettings: Sendable, Equatable {
    /// Shown to people; empty: the host's name.
    var name = ""
}
