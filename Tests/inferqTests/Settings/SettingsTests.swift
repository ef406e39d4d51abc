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

            [access]
            mode = "open"
            open_network = false
            keys = "/etc/inferq/keys.d"
            failures = "30/1m"
            session = "12h"

            [stream]
            flush = "25ms"

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
            first_byte_timeout = "10m"
            idle_timeout = "2m"
            after_output = "fail"
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
        expected.tls.certificate = "/etc/ssl/cert.pem"
        expected.tls.key = "/etc/ssl/private/key.pem"
        expected.tls.clientCA = "/etc/ssl/clients.pem"
        expected.tls.minVersion = .tls13
        expected.access.mode = .keys
        expected.access.openNetwork = true
        expected.access.keys = "/nowhere/inferq/keys.d"
        expected.access.failures = Rate(count: 5, window: .seconds(10))
        expected.access.session = .seconds(60)
        expected.stream.flush = .zero
        expected.http.batch.window = .milliseconds(10)
        expected.http.batch.priority = 100
        expected.http.batch.maxOpen = 1
        expected.http.batch.maxLines = 1
        expected.http.batch.maxBytes = 1024
        expected.store.path = "x.db"
        expected.store.profile = .flash
        expected.store.pageSize = 4096
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
        expected.broker = BrokerSettings(kind: .redis, redis: redis, trusted: true, ringCapacity: 1)
        expected.redis.prefix = "site:1"
        expected.redis.connectTimeout = .milliseconds(50)
        expected.redis.commandTimeout = .seconds(60)
        expected.redis.probeInterval = .seconds(8)
        expected.redis.heartbeat = .seconds(9)
        expected.redis.workerTimeout = .seconds(18)
        expected.redis.workerGrace = .zero
        expected.worker.name = "plant-2"
        var model = ModelSettings(name: "a.b:c-1", url: "http+unix://%2Frun%2Focr.sock/predict?x=1")
        model.ca = "/etc/ssl/site-ca.pem"
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
        model.firstByteTimeout = .milliseconds(2)
        model.idleTimeout = .milliseconds(3)
        model.afterOutput = .restart
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
            [tls]
            certificate = "/etc/ssl/cert.pem"
            key = "/etc/ssl/private/key.pem"
            client_ca = "/etc/ssl/clients.pem"
            min_version = "1.3"
            [access]
            mode = "keys"
            open_network = true
            keys = "/nowhere/inferq/keys.d"
            failures = "5/10s"
            session = "1m"
            [stream]
            flush = "0s"
            [batch]
            window = "10ms"
            priority = 100
            max_open = 1
            max_lines = 1
            max_bytes = "1KiB"
            [store]
            path = "x.db"
            profile = "flash"
            page_size = "4KiB"
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
            trusted = true
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
            ca = "/etc/ssl/site-ca.pem"
            concurrency = 4096
            queue_limit = 1
            timeout = "1ms"
            first_byte_timeout = "2ms"
            idle_timeout = "3ms"
            after_output = "restart"
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

    @Test
    func aProfileChangesDefaultsAndNothingThatIsSet() throws {
        let flash = try SettingsFolder(["inferq.toml": "[store]\nprofile = \"flash\""]).load()
        #expect(flash == Settings(.flash))
        #expect((flash.store.pageSize, flash.stream.flush) == (1024, .milliseconds(250)))
        let text = "[store]\nprofile = \"flash\"\npage_size = \"4KiB\"\n[stream]\nflush = \"25ms\""
        let set = try SettingsFolder(["inferq.toml": text]).load()
        #expect((set.store.pageSize, set.stream.flush) == (4096, .milliseconds(25)))
        #expect(try SettingsFolder(["inferq.toml": "[store]\nprofile = \"standard\""]).load() == Settings())
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
