import InferqCore
import InferqHTTP
import InferqRedis
import Testing

@testable import inferq

/// Files, the environment and the command line: which of them wins, and that problems name theirs.
struct SettingsSourceTests {
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
                environment: INFERQ_LOG_LEVEL: expected one of a few words, found the string "x"; choose "trace", \
                "debug", "info", "notice", "warning", "error", "critical"
                """,
                """
                environment: INFERQ_REDIS: the URL's host is neither a name nor an address; write something like \
                "redis://127.0.0.1:6379/0"
                """,
            ])
    }
}
