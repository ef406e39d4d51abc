import InferqCore
import Logging

/// Turns the files' tree, the environment and the flags into ``Settings``. Every key, its range and its default's
/// place stand here and in ``ModelReader`` once.
struct SettingsReader {
    let tree: SettingsNode
    let credentials: Credentials

    /// - Parameter problems: Gets every problem; if files could not be read it is not empty, and nothing is said of
    ///   settings that may stand in them.
    func read(environment: [String: String], flags: SettingsFlags, problems: ProblemList) -> Settings {
        let filesAreComplete = problems.all.isEmpty
        var settings = Settings()
        var root = TableReader(tree, path: [], problems: problems)
        readTop(&root, into: &settings)
        var sections: [TableReader] = []
        if var limits = root.table("limits", example: "[limits]") {
            readLimits(&limits, into: &settings.limits)
            sections.append(limits)
        }
        if var store = root.table("store", example: "[store]") {
            readStore(&store, into: &settings.store)
            sections.append(store)
        }
        if var broker = root.table("broker", example: "[broker]") {
            readBroker(&broker, into: &settings.broker)
            sections.append(broker)
        }
        if var worker = root.table("worker", example: "[worker]") {
            worker.read("name", into: &settings.worker.name, .text(example: "plant-2", check: Self.workerName))
            sections.append(worker)
        }
        if let models = root.table("models", example: "[models.NAME]") {
            let mayRunElsewhere = settings.broker.kind != .ring && hasRedis(environment)
            let reader = ModelReader(
                credentials: credentials, top: root.known, filesAreComplete: filesAreComplete,
                mayRunElsewhere: mayRunElsewhere
            )
            settings.models = reader.read(models)
        }
        root.refuseUnknown()
        for section in sections { section.refuseUnknown(elsewhere: root.known) }
        readEnvironment(environment, flags, into: &settings, problems)
        if filesAreComplete { check(settings, environment, flags, problems) }
        return settings
    }

    private func readTop(_ top: inout TableReader, into settings: inout Settings) {
        top.read("listen", into: &settings.listen, .list(of: AddressRules.listen, example: "127.0.0.1:8484"))
        top.read(
            "public_url", into: &settings.publicURL,
            .text(example: "http://gateway.example:8484", check: AddressRules.publicURL))
        let host = SettingRule.text(example: "gateway.example", check: AddressRules.hostName)
        top.read("hosts", into: &settings.hosts, .list(of: host, example: "gateway.example"))
        let origin = SettingRule.text(example: "https://app.example", check: AddressRules.origin)
        top.read("origins", into: &settings.origins, .list(of: origin, example: "https://app.example"))
        top.read("sync_wait", into: &settings.syncWait, .duration(in: .zero...day, example: "55s"))
        top.read("max_body", into: &settings.maxBody, .size(in: 1024...(16 << 30), example: "16MiB"))
        top.read("heartbeat", into: &settings.heartbeat, .duration(in: .milliseconds(10)...hour, example: "15s"))
        top.read("drain_timeout", into: &settings.drainTimeout, .duration(in: .zero...hour, example: "30s"))
        top.read("log_level", into: &settings.logLevel, .word)
        top.read("log_format", into: &settings.logFormat, .word)
    }

    private func readLimits(_ table: inout TableReader, into limits: inout LimitSettings) {
        let moment: Duration = .milliseconds(10)
        table.read("connections", into: &limits.connections, .count(in: 1...1_000_000, example: 4096))
        table.read("head_timeout", into: &limits.headTimeout, .duration(in: moment...hour, example: "10s"))
        table.read("head", into: &limits.head, .size(in: 256...(1 << 20), example: "64KiB"))
        table.read("header_fields", into: &limits.headerFields, .count(in: 8...10_000, example: 100))
        table.read("target", into: &limits.target, .size(in: 128...(1 << 20), example: "16KiB"))
        table.read("body_min_rate", into: &limits.bodyMinRate, .size(in: 0...(1 << 30), example: "1KiB"))
        table.read("idle_timeout", into: &limits.idleTimeout, .duration(in: moment...day, example: "75s"))
        table.read("listener_timeout", into: &limits.listenerTimeout, .duration(in: moment...hour, example: "10s"))
        table.read("bodies_in_flight", into: &limits.bodiesInFlight, .size(in: 1...(1 << 40), example: "128MiB"))
        table.read("keepalive", into: &limits.keepalive, .duration(in: .seconds(1)...hour, example: "15s"))
        table.read("events_per_job", into: &limits.eventsPerJob, .count(in: 1...1_000_000, example: 10_000))
    }

    private func readStore(_ table: inout TableReader, into store: inout StoreSettings) {
        table.read("path", into: &store.path, .text(example: "/var/lib/inferq/inferq.db", check: Self.storePath))
        table.read("synchronous", into: &store.synchronous, .word)
        table.read("retention", into: &store.retention, .duration(in: .zero...DurationText.longest, example: "7d"))
        table.read("max_bytes", into: &store.maxBytes, .size(in: (1 << 20)...(1 << 50), example: "8GiB"))
        table.read("min_free", into: &store.minFree, .size(in: 0...(1 << 50), example: "256MiB"))
        table.read("ballast", into: &store.ballast, .size(in: 0...(1 << 40), example: "64MiB"))
        table.read("readers", into: &store.readers, .count(in: 1...64, example: 4))
        table.read("wal_limit", into: &store.walLimit, .size(in: (1 << 20)...(1 << 36), example: "64MiB"))
    }

    private func readBroker(_ table: inout TableReader, into broker: inout BrokerSettings) {
        table.read("kind", into: &broker.kind, .word)
        table.read("redis", into: &broker.redis, redisRule)
        table.read("ring_capacity", into: &broker.ringCapacity, .count(in: 1...(1 << 20), example: 4096))
        table.read("prefix", into: &broker.prefix, .text(example: "inferq", check: Self.prefix))
        let moment: Duration = .milliseconds(50)
        let minute: Duration = .seconds(60)
        table.read("connect_timeout", into: &broker.connectTimeout, .duration(in: moment...minute, example: "1s"))
        table.read("command_timeout", into: &broker.commandTimeout, .duration(in: moment...minute, example: "1s"))
        table.read("probe_interval", into: &broker.probeInterval, .duration(in: moment...minute, example: "500ms"))
        table.read("heartbeat", into: &broker.heartbeat, .duration(in: moment...minute, example: "2s"))
        table.read("worker_timeout", into: &broker.workerTimeout, .duration(in: moment...hour, example: "10s"))
        table.read("worker_grace", into: &broker.workerGrace, .duration(in: .zero...day, example: "55s"))
    }

    private func readEnvironment(
        _ environment: [String: String],
        _ flags: SettingsFlags,
        into settings: inout Settings,
        _ problems: ProblemList
    ) {
        func read<Value>(_ name: String, into target: inout Value, _ rule: SettingRule<Value>) {
            guard let text = environment[name] else { return }
            do throws(Refusal) {
                target = try rule.apply(.text(text))
            } catch {
                problems.add(SettingsProblem("environment", at: name, error))
            }
        }
        func addresses(_ texts: [String], _ source: String, _ place: String) {
            do throws(Refusal) {
                let values = texts.map { SettingsValue.text($0) }
                settings.listen = try SettingRule.list(of: AddressRules.listen, example: "").apply(.list(values))
            } catch {
                problems.add(SettingsProblem(source, at: place, error))
            }
        }
        if !flags.listen.isEmpty {
            addresses(flags.listen, "command line", "--listen")
        } else if let text = environment["INFERQ_LISTEN"] {
            addresses(text.split(separator: ",").map { $0.trimmed }, "environment", "INFERQ_LISTEN")
        }
        read("INFERQ_LOG_LEVEL", into: &settings.logLevel, .word)
        read("INFERQ_REDIS", into: &settings.broker.redis, redisRule)
    }

    /// What no key alone can tell.
    private func check(
        _ settings: Settings,
        _ environment: [String: String],
        _ flags: SettingsFlags,
        _ problems: ProblemList
    ) {
        func report(_ path: [String], _ what: String, _ advice: String) {
            let place = TableReader.text(path)
            problems.add(SettingsProblem(tree.file(of: path), at: place, Refusal(what, advice)))
        }
        if settings.listen.isEmpty, flags.sockets == .own {
            report(
                ["listen"], "the list is empty, and systemd hands no sockets in",
                "name at least one address, for example \"127.0.0.1:8484\"")
        }
        if settings.broker.workerTimeout < settings.broker.heartbeat * 2 {
            let heartbeat = DurationText.format(settings.broker.heartbeat)
            let what = "less than two heartbeats (\(heartbeat) each), so that workers that live would count as dead"
            report(["broker", "worker_timeout"], what, "raise it or lower broker.heartbeat")
        }
        if settings.limits.bodiesInFlight < settings.maxBody {
            let size = ByteSizeText.format(settings.maxBody)
            let what = "less than max_body (\(size)), so that the largest bodies would never be taken"
            report(["limits", "bodies_in_flight"], what, "raise it to \"\(size)\" or lower max_body")
        }
        if settings.broker.kind == .redis && settings.broker.redis.isEmpty && !hasRedis(environment) {
            let advice = "set broker.redis, for example to \"redis://127.0.0.1:6379/0\", or choose \"auto\" or \"ring\""
            report(["broker", "kind"], "\"redis\" needs the address of a Redis", advice)
        }
    }

    /// Whether the address of a Redis was given; one that is wrong has been reported already.
    private func hasRedis(_ environment: [String: String]) -> Bool {
        environment["INFERQ_REDIS"] != nil || tree.value(at: ["broker", "redis"]) ?? .text("") != .text("")
    }

    private var redisRule: SettingRule<String> {
        .text(example: "redis://127.0.0.1:6379/0", isSecret: true) { text throws(Refusal) in
            try AddressRules.redis(credentials.resolve(text))
        }
    }

    private static func storePath(_ text: String) throws(Refusal) -> String {
        guard !text.isEmpty, !text.hasSuffix("/"), !text.hasPrefix(":"), !text.hasPrefix("file:") else {
            let advice = "write for example \"/var/lib/inferq/inferq.db\""
            throw Refusal("\(text.quoted()) is not the path of a file", advice)
        }
        return text
    }

    private static func workerName(_ text: String) throws(Refusal) -> String {
        let isPlain = text.utf8.allSatisfy { $0.isLetterOrDigit || "._:-".utf8.contains($0) }
        guard isPlain, text.utf8.count <= 64 else {
            let advice = "use at most 64 letters, digits, dots, colons, hyphens and underscores"
            throw Refusal("\(text.quoted()) cannot name a worker", advice)
        }
        return text
    }

    private static func prefix(_ text: String) throws(Refusal) -> String {
        let isSafe = text.utf8.allSatisfy { $0.isLetterOrDigit || "._:-".utf8.contains($0) }
        guard isSafe, (1...64).contains(text.utf8.count) else {
            let advice = "use 1 to 64 letters, digits, dots, colons, hyphens and underscores"
            throw Refusal("\(text.quoted()) cannot begin a Redis key", advice)
        }
        return text
    }

    private var hour: Duration { .seconds(3600) }
    private var day: Duration { .seconds(86_400) }
}

extension Substring {
    /// Without spaces at both ends.
    fileprivate var trimmed: String {
        var rest = self
        while rest.first == " " { rest.removeFirst() }
        while rest.last == " " { rest.removeLast() }
        return String(rest)
    }
}
