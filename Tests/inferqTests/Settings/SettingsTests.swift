import Foundation
import InferqCore
import InferqHTTP
import InferqQueue
import InferqRedis
import InferqStore
import Logging
import Testing

@testable import inferq

struct SettingsTests {
    @Test
    func withoutAnyFileTheDefaultsApply() throws {
        let settings = try SettingsFolder().load()
        #expect(settings == Settings())
    }

    @Test
    func theDefaultsAreThoseOfTheDocumentation() throws {
        let documented = """
            listen = ["127.0.0.1:8484"]
            public_url = ""
            hosts = []
            origins = []
            sync_wait = "55s"
            max_body = "16MiB"
            heartbeat = "15s"
            drain_timeout = "30s"
            log_level = "info"
            log_format = "auto"

            [limits]
            connections = 4096
            head_timeout = "10s"
            head = "64KiB"
            header_fields = 100
            target = "16KiB"
            body_min_rate = "1KiB"
            idle_timeout = "75s"
            listener_timeout = "10s"
            bodies_in_flight = "128MiB"

            [store]
            path = "/var/lib/inferq/inferq.db"
            synchronous = "full"
            retention = "7d"
            max_bytes = "8GiB"
            min_free = "256MiB"
            ballast = "64MiB"

            [broker]
            kind = "auto"
            redis = ""
            ring_capacity = 4096
            prefix = "inferq"

            [models.ocr]
            url = "http://127.0.0.1:9001/predict"
            concurrency = 1
            queue_limit = 100000
            timeout = "5m"
            ready_timeout = "10m"
            max_attempts = 3
            max_answer = "64MiB"
            backoff = { base = "1s", cap = "2m" }
            layers = "/predicted_layers"
            headers = { }
            health = ""
            dialect = "none"
            names = []
            paths = []
            direct = []
            queued = []
            linger = "10s"
            forward_authorization = false
            expires_in = ""
            """
        var expected = Settings()
        expected.models = ["ocr": ModelSettings(name: "ocr", url: "http://127.0.0.1:9001/predict")]
        #expect(try SettingsFolder(["inferq.toml": documented]).load() == expected)
    }

    @Test
    func everyKeyIsReadBack() throws {
        var expected = Settings()
        expected.listen = [
            .tcp(host: "::1", port: 0), .tcp(host: "0.0.0.0", port: 80), .tcp(host: "localhost", port: 65_535),
            .unix(path: "/run/inferq/x.sock"),
        ]
        expected.publicURL = "https://gateway.example:8443/base"
        expected.http.hosts = ["gateway.example"]
        expected.http.origins = ["https://app.example", "http://localhost:3000"]
        expected.http.syncWait = .milliseconds(1500)
        expected.http.maxBody = 1024
        expected.http.maxUpload = 2048
        expected.http.repeatWindow = .seconds(5)
        expected.http.heartbeat = .seconds(20)
        expected.drainTimeout = .zero
        expected.logLevel = .trace
        expected.logFormat = .json
        expected.http.connections = 1
        expected.http.headTimeout = .seconds(2)
        expected.http.head = 300
        expected.http.headerFields = 10
        expected.http.target = 200
        expected.http.bodyMinRate = 0
        expected.http.idleTimeout = .seconds(3)
        expected.http.listenerTimeout = .seconds(4)
        expected.http.bodiesInFlight = 2000
        expected.http.keepalive = .seconds(6)
        expected.http.eventsPerJob = 7
        expected.store.path = "x.db"
        expected.store.synchronous = .normal
        expected.store.minFree = 0
        expected.store.ballast = 0
        expected.store.readers = 1
        expected.store.walLimit = 1 << 20
        expected.retention = RetentionSettings(age: .zero, maxBytes: 1 << 20)
        var redis = RedisAddress(.tcp(host: "::1", port: 6380))
        redis.user = "user"
        redis.password = "p@ss"
        redis.database = 3
        expected.broker = BrokerSettings(kind: .redis, redis: redis, ringCapacity: 1)
        expected.redis.prefix = "site:1"
        expected.redis.connectTimeout = .milliseconds(50)
        expected.redis.commandTimeout = .seconds(60)
        expected.redis.probeInterval = .seconds(8)
        expected.redis.heartbeat = .seconds(9)
        expected.redis.workerTimeout = .seconds(18)
        expected.redis.workerGrace = .zero
        expected.worker.name = "plant-2"
        var model = ModelSettings(name: "a.b:c-1", url: "http+unix://%2Frun%2Focr.sock/predict?x=1")
        model.concurrency = 4096
        model.queueLimit = 1
        model.timeout = .milliseconds(1)
        model.readyTimeout = .zero
        model.maxAttempts = 25
        model.maxAnswer = 1
        model.backoffBase = .milliseconds(1)
        model.backoffCap = .milliseconds(2)
        model.layers = ""
        model.headers = [HeaderSetting(name: "Accept", value: "x/y"), HeaderSetting(name: "X-Key", value: "a \"b\"")]
        model.health = "/up?x=1"
        model.dialect = .openai
        model.names = ["Qwen/Qwen3-8B", "gpt-*"]
        model.paths = ["/predict", "/v3/*"]
        model.direct = ["DELETE /v1/thing/*"]
        model.queued = ["PUT /v1/other"]
        model.linger = nil
        model.forwardsAuthorization = true
        model.expiresIn = .seconds(60)
        expected.models = [model.name: model]
        let text = """
            listen = ["[::1]:0", "0.0.0.0:80", "localhost:65535", "unix:/run/inferq/x.sock"]
            public_url = "https://gateway.example:8443/base/"
            hosts = ["Gateway.example"]
            origins = ["https://APP.example:443", "http://localhost:3000"]
            sync_wait = 1.5
            max_body = "1024B"
            max_upload = "2KiB"
            repeat_window = 5
            heartbeat = 20
            drain_timeout = "0s"
            log_level = "trace"
            log_format = "json"
            [limits]
            connections = 1
            head_timeout = "2s"
            head = 300
            header_fields = 10
            target = "200"
            body_min_rate = 0
            idle_timeout = "3s"
            listener_timeout = "4s"
            bodies_in_flight = "2000"
            keepalive = "6s"
            events_per_job = 7
            [store]
            path = "x.db"
            synchronous = "normal"
            retention = "0s"
            max_bytes = "1MiB"
            min_free = 0
            ballast = "0"
            readers = 1
            wal_limit = "1MiB"
            [broker]
            kind = "redis"
            redis = "redis://user:p%40ss@[::1]:6380/3"
            ring_capacity = 1
            prefix = "site:1"
            connect_timeout = "50ms"
            command_timeout = "1m"
            probe_interval = 8
            heartbeat = 9
            worker_timeout = "18s"
            worker_grace = 0
            [worker]
            name = "plant-2"
            [models."a.b:c-1"]
            url = "http+unix://%2Frun%2Focr.sock/predict?x=1"
            concurrency = 4096
            queue_limit = 1
            timeout = "1ms"
            ready_timeout = "0s"
            max_attempts = 25
            max_answer = "1B"
            backoff = { base = "1ms", cap = "2ms" }
            layers = ""
            headers = { X-Key = 'a "b"', Accept = "x/y" }
            health = "/up?x=1"
            dialect = "openai"
            names = ["Qwen/Qwen3-8B", "gpt-*"]
            paths = ["/predict", "/v3/*"]
            direct = ["DELETE /v1/thing/*"]
            queued = ["PUT /v1/other"]
            linger = "forever"
            forward_authorization = true
            expires_in = "1m"
            """
        let settings = try SettingsFolder(["inferq.toml": text]).load()
        #expect(settings == expected)
        // Every key stands above, with another value than its default.
        #expect(Settings.rows.filter { !$0.hasChanged(from: Settings(), to: settings) }.map(\.key) == [])
        let plain = ModelSettings(name: "", url: "")
        #expect(ModelSettings.rows.filter { !$0.hasChanged(from: plain, to: model) }.map(\.key) == [])
    }

    @Test
    func withADialectAnAttemptMayTakeAnHour() throws {
        let models = """
            [models.own]
            url = "http://a/"
            [models.llama]
            url = "http://b/"
            dialect = "openai"
            [models.short]
            url = "http://c/"
            dialect = "openai"
            timeout = "5m"
            """
        let settings = try SettingsFolder(["inferq.toml": models]).load()
        let timeouts = settings.models.mapValues(\.timeout)
        #expect(timeouts == ["own": .seconds(300), "llama": .seconds(3600), "short": .seconds(300)])
    }

    @Test(arguments: [
        ("names = [\"\"]", "names"), ("paths = [\"predict\"]", "paths"), ("paths = [\"/a/../b\"]", "paths"),
        ("paths = [\"/a*\"]", "paths"), ("paths = [\"/a?b=1\"]", "paths"), ("direct = [\"/v1/thing\"]", "direct"),
        ("queued = [\"TRACE /v1/thing\"]", "queued"), ("queued = [\"PUT  /v1/thing\"]", "queued"),
        ("linger = \"never\"", "linger"), ("forward_authorization = 1", "forward_authorization"),
        ("dialect = \"latin\"", "dialect"), ("expires_in = 0", "expires_in"),
    ])
    func whatIsWrongWithASettingOfCallsIsSaid(_ line: String, _ key: String) throws {
        let problems = try SettingsFolder(["inferq.toml": "[models.m]\nurl = \"http://a/\"\n\(line)"]).problems()
        #expect(problems.count == 1 && problems.allSatisfy { $0.contains("models.m.\(key): ") }, "\(problems)")
    }

    @Test
    func theWordThatStandsForNoEndIsNamed() throws {
        let file = "[models.m]\nurl = \"http://a/\"\nlinger = \"never\""
        let problems = try SettingsFolder(["inferq.toml": file]).problems()
        #expect(problems.count == 1 && problems.allSatisfy { $0.hasSuffix(", or \"forever\"") }, "\(problems)")
    }

    @Test
    func laterFilesWinKeyByKeyInTheOrderOfTheirNames() throws {
        let folder = try SettingsFolder([
            "inferq.toml":
                "sync_wait = 1\nheartbeat = 1\nhosts = [\"a\"]\n[models.a]\nurl = \"http://a/\"\ntimeout = 1\n",
            "conf.d/20.toml": "sync_wait = 3\n[models.a]\ntimeout = 3\nheaders = { B = \"2\" }\n",
            "conf.d/10.toml":
                "sync_wait = 2\nhosts = [\"b\"]\n[models.a]\nheaders = { A = \"1\" }\n[models.b]\nurl = \"http://b/\"",
            "conf.d/.30.toml": "sync_wait = 4\n",
            "conf.d/30.toml.dpkg-old": "sync_wait = 5\n",
        ])
        let settings = try folder.load()
        #expect(settings.http.syncWait == .seconds(3))
        #expect(settings.http.heartbeat == .seconds(1))
        #expect(settings.http.hosts == ["b"])
        #expect(settings.models.keys.sorted() == ["a", "b"])
        #expect(settings.models["a"]?.url == "http://a/")
        #expect(settings.models["a"]?.timeout == .seconds(3))
        #expect(settings.models["a"]?.headers.map(\.name) == ["A", "B"])
    }

    @Test
    func aNamedFileIsReadAlone() throws {
        let folder = try SettingsFolder([
            "inferq.toml": "x = 1", "conf.d/10.toml": "y = 1", "a.toml": "heartbeat = 1", "b.toml": "heartbeat = 2",
        ])
        let environment = ["INFERQ_CONFIG": folder.path + "/a.toml"]
        #expect(try folder.load(environment: environment).http.heartbeat == .seconds(1))
        let flags = SettingsFlags(config: folder.path + "/b.toml")
        #expect(try folder.load(environment: environment, flags: flags).http.heartbeat == .seconds(2))
    }

    @Test
    func aNamedFileHasToExist() throws {
        let folder = try SettingsFolder()
        let expected = ["no.toml: there is no such file; create it or name another one"]
        #expect(folder.problems(flags: SettingsFlags(config: folder.path + "/no.toml")) == expected)
        #expect(folder.problems(environment: ["INFERQ_CONFIG": folder.path + "/no.toml"]) == expected)
    }

    @Test
    func theEnvironmentWinsOverTheFileAndAFlagOverBoth() throws {
        let folder = try SettingsFolder(["inferq.toml": "listen = [\"127.0.0.1:1\"]\nlog_level = \"error\""])
        let environment = [
            "INFERQ_LISTEN": "127.0.0.1:2, [::1]:3", "INFERQ_LOG_LEVEL": "debug",
            "INFERQ_REDIS": "unix:/run/redis.sock",
        ]
        let settings = try folder.load(environment: environment)
        #expect(settings.listen == [.tcp(host: "127.0.0.1", port: 2), .tcp(host: "::1", port: 3)])
        #expect(settings.logLevel == .debug)
        #expect(settings.broker.redis == RedisAddress(.unix(path: "/run/redis.sock")))
        let flagged = try folder.load(
            environment: environment, flags: SettingsFlags(listen: ["unix:/x", "127.0.0.1:4"]))
        #expect(flagged.listen == [.unix(path: "/x"), .tcp(host: "127.0.0.1", port: 4)])
        #expect(try folder.load(environment: ["INFERQ_LISTEN": "", "INFERQ_LOG_LEVEL": ""]).logLevel == .error)
    }

    @Test
    func theEnvironmentGivesTheRedisThatTheFileAsksFor() throws {
        let folder = try SettingsFolder(["inferq.toml": "[broker]\nkind = \"redis\""])
        #expect(try folder.load(environment: ["INFERQ_REDIS": "redis://h"]).broker.kind == .redis)
    }

    @Test
    func problemsOfTheEnvironmentAndTheFlagsNameTheirSource() throws {
        let folder = try SettingsFolder()
        let environment = ["INFERQ_LOG_LEVEL": "x", "INFERQ_REDIS": "redis://u:secret@"]
        #expect(
            folder.problems(environment: environment, flags: SettingsFlags(listen: [":1"])) == [
                "command line: --listen: item 1: \":1\" has no address; write \"0.0.0.0:1\" for every IPv4 address",
                """
                environment: INFERQ_LOG_LEVEL: expected one of a few words, found the text "x"; choose "trace", \
                "debug", "info", "notice", "warning", "error", "critical"
                """,
                """
                environment: INFERQ_REDIS: the URL's host is neither a name nor an address; write for example \
                "redis://127.0.0.1:6379/0"
                """,
            ])
    }

    @Test
    func onlySomeChangesNeedARestart() {
        var settings = Settings()
        settings.http.connections = 1
        settings.logLevel = .debug
        settings.http.heartbeat = .seconds(1)
        settings.retention.age = .zero
        settings.listen = []
        settings.store.path = "x"
        settings.broker.redis = RedisAddress(.unix(path: "/run/redis.sock"))
        let changed = Settings.rows.filter { $0.hasChanged(from: Settings(), to: settings) }
        #expect(
            changed.filter { $0.effect == .reload }.map(\.key)
                == ["heartbeat", "log_level", "limits.connections", "store.retention"])
        #expect(changed.filter { $0.effect == .restart }.map(\.key) == ["listen", "store.path", "broker.redis"])
    }
}
