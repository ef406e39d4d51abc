import Foundation
import InferqCore
import InferqQueue
import InferqRedis
import InferqStore
import Testing

@testable import inferq

/// Secrets come from files and are never shown.
struct SecretTests {
    private static let model = "[models.a]\nurl = \"http://h/p\"\nheaders = { Authorization = \"$CREDENTIAL:ocr\" }\n"

    @Test
    func aCredentialIsReadFromItsFolder() throws {
        let folder = try SettingsFolder([
            "inferq.toml": Self.model + "[broker]\nredis = \"$CREDENTIAL:redis-url\"", "ocr": "Bearer abc\r\n",
            "redis-url": "redis://:secret@h:1/2\n",
        ])
        let settings = try folder.load(environment: ["CREDENTIALS_DIRECTORY": folder.path])
        #expect(settings.models["a"]?.headers == [HeaderSetting(name: "Authorization", value: "Bearer abc")])
        var redis = RedisAddress(.tcp(host: "h", port: 1))
        redis.password = "secret"
        redis.database = 2
        #expect(settings.broker.redis == redis)
    }

    @Test(
        arguments: [
            (
                nil,
                """
                the credential ocr is missing (CREDENTIALS_DIRECTORY is not set); add \
                LoadCredential=ocr:/path/of/the/secret to the unit and start it with systemd
                """
            ),
            ("", "the credential's file ocr is empty; store the secret in it"),
            (
                "a\nsecret",
                "the credential's file ocr holds a control character or a second line; store the secret as one line"
            ),
            ("sécret", "the header's value holds a character outside ASCII; encode it"),
            (" secret", "the header's value begins or ends with a space; remove it"),
        ] as [(String?, String)])
    func aBadCredentialIsExplainedAndNotShown(_ secret: String?, _ problem: String) throws {
        let folder = try SettingsFolder(["inferq.toml": Self.model])
        if let secret { try folder.write("ocr", Data(secret.utf8)) }
        let environment = secret == nil ? [:] : ["CREDENTIALS_DIRECTORY": folder.path]
        #expect(
            folder.problems(environment: environment) == ["inferq.toml: models.a.headers.Authorization: " + problem])
    }

    @Test
    func aMissingCredentialNamesTheFile() throws {
        let folder = try SettingsFolder(["inferq.toml": Self.model])
        #expect(
            folder.problems(environment: ["CREDENTIALS_DIRECTORY": folder.path]) == [
                """
                inferq.toml: models.a.headers.Authorization: the credential's file ocr does not exist; add \
                LoadCredential=ocr:/path/of/the/secret to the unit
                """
            ])
    }

    @Test(arguments: ["$CREDENTIAL:../x", "$CREDENTIAL:", "$CREDENTIAL:..", "Bearer $CREDENTIAL:x"])
    func aCredentialIsNamedAndNothingElse(_ value: String) throws {
        let folder = try SettingsFolder(["inferq.toml": Self.model.replacing("$CREDENTIAL:ocr", with: value)])
        #expect(folder.problems(environment: ["CREDENTIALS_DIRECTORY": folder.path]).count == 1)
    }

    @Test(arguments: [
        "[broker]\nredis = \"http://u:geheim@h\"", "[broker]\nredis = \"redis://u:geheim@h:x\"",
        "[broker]\nredis = \"geheim\"",
        "[models.a]\nurl = \"http://u:geheim@h/\"", "[models.a]\nurl = \"ftp://geheim\"",
        "[broker]\nredis = [\"geheim\"]",
        "[models.a]\nurl = \"http://h/\"\nheaders = { A = \"geheim\\u0007\" }",
        "[models.a]\nurl = \"http://h/\"\nheaders = { A = [\"geheim\"] }",
    ])
    func noProblemQuotesASecret(_ text: String) throws {
        let problems = try SettingsFolder(["inferq.toml": text]).problems()
        #expect(problems.count == 1)
        #expect(!problems.joined().contains("geheim"))
    }

    @Test
    func theSummaryShowsWhatMattersAndNoSecret() throws {
        let folder = try SettingsFolder([
            "inferq.toml": """
            [broker]
            redis = "redis://user:geheim@h:6379/0"
            [models.ocr]
            url = "http://127.0.0.1:9001/predict?key=geheim"
            headers = { Authorization = "geheim" }
            """
        ])
        #expect(
            try folder.load().summary() == """
                listen      127.0.0.1:8484
                public url  that of the first TCP listener
                access      open: anyone who reaches it may do everything
                limits      4096 connections, bodies up to 16MiB, 128MiB in flight
                store       /var/lib/inferq/inferq.db, synchronous full, keeps ended jobs for 7d and up to 8GiB
                broker      auto: redis://user:***@h:6379/0, with a ring of 4096 slots in its place while it is away
                log         info, auto
                model       ocr: http://127.0.0.1:9001/predict?***, 1 at a time, 5m each, 3 attempts, \
                adds Authorization: ***
                """)
    }

    @Test(arguments: [
        ("http://user:geheim@h/p", "http://user:***@h/p"), ("http://geheim@h:1", "http://:***@h:1"),
        ("http://h/p?geheim", "http://h/p?***"), ("geheim", "***"),
    ])
    func anAddressIsMasked(_ url: String, _ masked: String) {
        #expect(Settings.masked(url) == masked)
    }

    @Test(arguments: [
        ("redis://:geheim@h", "redis://:***@h:6379/0"), ("redis://geheim@h/1", "redis://:***@h:6379/1"),
        ("redis://user:geheim@[::1]:1/2", "redis://user:***@[::1]:1/2"), ("redis://h", "redis://h:6379/0"),
        ("unix:/run/redis.sock", "unix:/run/redis.sock"), ("unix:/run/redis.sock?db=3", "unix:/run/redis.sock?db=3"),
    ])
    func theAddressOfARedisIsShownWithoutItsPassword(_ text: String, _ shown: String) throws {
        #expect(try AddressRules.redisAddress(text)?.description == shown)
    }

    @Test
    func oddSettingsAreAllowedWithAWarning() throws {
        var settings = Settings()
        #expect(settings.warnings.count == 1)
        settings.models = ["a": ModelSettings(name: "a", url: "http://a/")]
        #expect(settings.warnings.isEmpty)
        settings.broker.redis = RedisAddress(.unix(path: "/run/redis.sock"))
        settings.broker.kind = .ring
        #expect(settings.warnings.count == 1)
    }
}
