import InferqCore
import InferqHTTP
import InferqRedis
import InferqStore
import Logging

extension Settings {
    /// Every setting but those of a model, in the order of packaging/inferq.toml.
    static let rows = top + limits + tls + access + streaming + batches + storing + brokering + working

    static let listenRow = SettingRow<Settings>(
        "listen", \.listen, .list(of: AddressRules.listen), .restart, variable: "INFERQ_LISTEN")
    static let redisRow = SettingRow<Settings>(
        "broker.redis", \.broker.redis, AddressRules.redis, .restart, variable: "INFERQ_REDIS")

    private static let top: [SettingRow<Settings>] = [
        listenRow,
        SettingRow(
            "public_url", \.publicURL, .text(example: "http://gateway.example:8484", check: AddressRules.publicURL),
            .restart),
        SettingRow("hosts", \.http.hosts, .list(of: .text(example: "gateway.example", check: AddressRules.hostName))),
        SettingRow(
            "origins", \.http.origins, .list(of: .text(example: "https://app.example", check: AddressRules.origin))),
        SettingRow("sync_wait", \.http.syncWait, .duration(in: .zero...day)),
        SettingRow("max_body", \.http.maxBody, .size(in: kibibyte...16 * gibibyte)),
        SettingRow("max_upload", \.http.maxUpload, .size(in: kibibyte...16 * gibibyte)),
        SettingRow("repeat_window", \.http.repeatWindow, .duration(in: .zero...day)),
        SettingRow("heartbeat", \.http.heartbeat, .duration(in: moment...hour)),
        SettingRow("drain_timeout", \.drainTimeout, .duration(in: .zero...hour)),
        SettingRow("log_level", \.logLevel, .word, variable: "INFERQ_LOG_LEVEL"),
        SettingRow("log_format", \.logFormat, .word, .restart),
    ]

    private static let limits: [SettingRow<Settings>] = [
        SettingRow("limits.connections", \.http.connections, .count(in: 1...1_000_000)),
        SettingRow("limits.head_timeout", \.http.headTimeout, .duration(in: moment...hour)),
        SettingRow("limits.head", \.http.head, .size(in: 256...mebibyte)),
        SettingRow("limits.header_fields", \.http.headerFields, .count(in: 8...10_000)),
        SettingRow("limits.target", \.http.target, .size(in: 128...mebibyte)),
        SettingRow("limits.body_min_rate", \.http.bodyMinRate, .size(in: 0...gibibyte)),
        SettingRow("limits.idle_timeout", \.http.idleTimeout, .duration(in: moment...day)),
        SettingRow("limits.listener_timeout", \.http.listenerTimeout, .duration(in: moment...hour)),
        SettingRow("limits.bodies_in_flight", \.http.bodiesInFlight, .size(in: 1...tebibyte)),
        SettingRow("limits.keepalive", \.http.keepalive, .duration(in: .seconds(1)...hour), .restart),
        SettingRow("limits.events_per_job", \.http.eventsPerJob, .count(in: 1...1_000_000)),
    ]

    private static let tls: [SettingRow<Settings>] = [
        SettingRow(
            "tls.certificate", \.tls.certificate,
            .text(example: "/etc/inferq/tls/cert.pem", check: AddressRules.filePath)),
        SettingRow("tls.key", \.tls.key, .text(example: "/etc/inferq/tls/key.pem", check: AddressRules.filePath)),
        SettingRow(
            "tls.client_ca", \.tls.clientCA, .text(example: "/etc/inferq/tls/clients.pem", check: AddressRules.filePath)
        ),
        SettingRow("tls.min_version", \.tls.minVersion, .word),
    ]

    private static let access: [SettingRow<Settings>] = [
        SettingRow("access.mode", \.access.mode, .word),
        SettingRow("access.open_network", \.access.openNetwork, .flag),
        SettingRow("access.keys", \.access.keys, .text(check: keysFolder)),
        SettingRow("access.failures", \.access.failures, .rate),
        SettingRow("access.session", \.access.session, .duration(in: .seconds(60)...month)),
    ]

    private static let streaming: [SettingRow<Settings>] = [
        SettingRow("stream.flush", \.stream.flush, .duration(in: .zero ... .seconds(10)))
    ]

    private static let batches: [SettingRow<Settings>] = [
        SettingRow("batch.window", \.http.batch.window, .duration(in: moment...month)),
        SettingRow("batch.priority", \.http.batch.priority, .count(in: -100...100)),
        SettingRow("batch.max_open", \.http.batch.maxOpen, .count(in: 1...10_000)),
        SettingRow("batch.max_lines", \.http.batch.maxLines, .count(in: 1...1_000_000)),
        SettingRow("batch.max_bytes", \.http.batch.maxBytes, .size(in: kibibyte...16 * gibibyte)),
    ]

    private static let storing: [SettingRow<Settings>] = [
        SettingRow("store.path", \.store.path, .text(check: storePath), .restart),
        SettingRow("store.profile", \.store.profile, .word, .restart),
        SettingRow("store.page_size", \.store.pageSize, .size(of: pageSizes), .restart),
        SettingRow("store.synchronous", \.store.synchronous, .word, .restart),
        SettingRow("store.retention", \.retention.age, .duration(in: .zero...DurationText.longest)),
        SettingRow("store.max_bytes", \.retention.maxBytes, .size(in: mebibyte...1024 * tebibyte)),
        SettingRow("store.min_free", \.store.minFree, .size(in: 0...1024 * tebibyte)),
        SettingRow("store.ballast", \.store.ballast, .size(in: 0...tebibyte), .restart),
        SettingRow("store.readers", \.store.readers, .count(in: 1...64), .restart),
        SettingRow("store.wal_limit", \.store.walLimit, .size(in: mebibyte...64 * gibibyte), .restart),
    ]

    private static let brokering: [SettingRow<Settings>] = [
        SettingRow("broker.kind", \.broker.kind, .word, .restart),
        redisRow,
        SettingRow("broker.trusted", \.broker.trusted, .flag),
        SettingRow("broker.ring_capacity", \.broker.ringCapacity, .count(in: 1...1_048_576), .restart),
        SettingRow("broker.prefix", \.redis.prefix, .text(check: prefix), .restart),
        SettingRow("broker.connect_timeout", \.redis.connectTimeout, .duration(in: patience), .restart),
        SettingRow("broker.command_timeout", \.redis.commandTimeout, .duration(in: patience), .restart),
        SettingRow("broker.probe_interval", \.redis.probeInterval, .duration(in: patience), .restart),
        SettingRow("broker.heartbeat", \.redis.heartbeat, .duration(in: patience), .restart),
        SettingRow("broker.worker_timeout", \.redis.workerTimeout, .duration(in: .milliseconds(50)...hour), .restart),
        SettingRow("broker.worker_grace", \.redis.workerGrace, .duration(in: .zero...day), .restart),
    ]

    private static let working: [SettingRow<Settings>] = [
        SettingRow("worker.name", \.worker.name, .text(example: "plant-2", check: workerName), .restart)
    ]

    /// Those that the store was measured with.
    private static let pageSizes = [1024, 2048, 4096]
    private static let moment: Duration = .milliseconds(10)
    private static let patience: ClosedRange<Duration> = .milliseconds(50) ... .seconds(60)

    private static func keysFolder(_ text: String) throws(Refusal) -> String {
        guard text.hasPrefix("/"), text.utf8.count > 1 else {
            let advice = "write something like \"\(AccessSettings().keys)\""
            throw Refusal("\(text.quoted()) is not the path of a folder", advice)
        }
        return text
    }

    private static func storePath(_ text: String) throws(Refusal) -> String {
        guard !text.isEmpty, !text.hasSuffix("/"), !text.hasPrefix(":"), !text.hasPrefix("file:") else {
            let advice = "write something like \"\(StoreSettings().path)\""
            throw Refusal("\(text.quoted()) is not the path of a file", advice)
        }
        return text
    }

    private static func workerName(_ text: String) throws(Refusal) -> String {
        guard text.utf8.allSatisfy(\.isNamePart), text.utf8.count <= 64 else {
            let advice = "use at most 64 letters, digits, dots, colons, hyphens and underscores"
            throw Refusal("\(text.quoted()) cannot name a worker", advice)
        }
        return text
    }

    private static func prefix(_ text: String) throws(Refusal) -> String {
        guard text.utf8.allSatisfy(\.isNamePart), (1...64).contains(text.utf8.count) else {
            let advice = "use 1 to 64 letters, digits, dots, colons, hyphens and underscores"
            throw Refusal("\(text.quoted()) cannot begin a Redis key", advice)
        }
        return text
    }
}

extension ModelSettings {
    /// Every setting of `[models.NAME]`, in the order of packaging/inferq.toml.
    static let rows: [SettingRow<ModelSettings>] = [
        SettingRow("url", \.url, .text(example: "http://127.0.0.1:9001/predict", check: AddressRules.modelURL)),
        SettingRow("ca", \.ca, .text(example: "/etc/ssl/site-ca.pem", check: AddressRules.filePath)),
        SettingRow("concurrency", \.concurrency, .count(in: 1...4096)),
        SettingRow("queue_limit", \.queueLimit, .count(in: 1...1_000_000_000)),
        SettingRow("timeout", \.timeout, .duration(in: .milliseconds(1)...month)),
        SettingRow("first_byte_timeout", \.firstByteTimeout, .duration(in: .milliseconds(1)...month)),
        SettingRow("idle_timeout", \.idleTimeout, .duration(in: .milliseconds(1)...month)),
        SettingRow("after_output", \.afterOutput, .word),
        SettingRow("ready_timeout", \.readyTimeout, .duration(in: .zero...month)),
        SettingRow("max_attempts", \.maxAttempts, .count(in: 1...25)),
        SettingRow("max_answer", \.maxAnswer, .size(in: 1...16 * gibibyte)),
        SettingRow("backoff.base", \.backoffBase, .duration(in: .milliseconds(1)...week)),
        SettingRow("backoff.cap", \.backoffCap, .duration(in: .milliseconds(1)...week)),
        SettingRow("layers", \.layers, .text(check: ModelReader.pointer)),
        SettingRow("headers", \.headers, table: ModelReader.headers),
        SettingRow("health", \.health, .text(example: "/health", check: ModelReader.healthPath)),
        SettingRow("dialect", \.dialect, .word),
        SettingRow("names", \.names, .list(of: .text(example: "Qwen/Qwen3-*", check: ModelReader.alias))),
        SettingRow("paths", \.paths, .list(of: .text(example: "/predict", check: ModelReader.path))),
        SettingRow(
            "direct", \.direct, .list(of: .text(example: "DELETE /v1/thing/*", check: ModelReader.methodAndPath))),
        SettingRow("queued", \.queued, .list(of: .text(example: "PUT /v1/other", check: ModelReader.methodAndPath))),
        SettingRow("linger", \.linger, .duration(in: .zero...month, or: "forever")),
        SettingRow("forward_authorization", \.forwardsAuthorization, .flag),
        SettingRow("expires_in", \.expiresIn, .duration(in: .milliseconds(1)...month, or: "")),
    ]
}

private let kibibyte = 1 << 10
private let mebibyte = 1 << 20
private let gibibyte = 1 << 30
private let tebibyte = 1 << 40
private let hour: Duration = .seconds(3600)
private let day: Duration = .seconds(86_400)
private let week: Duration = .seconds(7 * 86_400)
private let month: Duration = .seconds(30 * 86_400)

extension UInt8 {
    /// What stands unescaped in URL paths, metric labels and Redis keys.
    var isNamePart: Bool { isLetterOrDigit || "._:-".utf8.contains(self) }
}
