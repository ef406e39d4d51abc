import Foundation
import InferqHTTP
import Testing

@testable import inferq

/// No one is let in from a network by accident.
struct AccessRulesTests {
    private static func sentence(_ addresses: String) -> String {
        """
        inferq.toml: access.mode: "open" lets everyone who reaches \(addresses) submit, read and cancel; make a key for \
        each client (inferq key add NAME) and set it to "keys", or set access.open_network = true if everyone on that \
        network may do so
        """
    }

    @Test
    func modeOpenListensOnThisHostAlone() throws {
        let listen = "listen = [\"0.0.0.0:1\", \"[::1]:1\", \"tls://[::]:2\"]"
        let folder = try SettingsFolder(["inferq.toml": listen + "\n[tls]\ncertificate = \"/c\"\nkey = \"/k\""])
        #expect(folder.problems() == [Self.sentence("0.0.0.0:1 or tls://[::]:2")])
        #expect(folder.problems(flags: SettingsFlags(sockets: .either)).count == 1)
        // Sockets from systemd replace the list, and a command listens nowhere.
        #expect(folder.problems(flags: SettingsFlags(sockets: .given)) == [])
        #expect(folder.problems(flags: SettingsFlags(sockets: .unneeded)) == [])
    }

    @Test(arguments: ["mode = \"keys\"\nkeys = \"/nowhere/inferq\"", "open_network = true"])
    func bothWaysOutAreTaken(_ line: String) throws {
        let folder = try SettingsFolder(["inferq.toml": "listen = [\"0.0.0.0:1\"]\n[access]\n\(line)"])
        #expect(folder.problems() == [])
    }

    @Test
    func aFlagCountsAsTheFileDoes() throws {
        let folder = try SettingsFolder()
        #expect(folder.problems(flags: SettingsFlags(listen: ["0.0.0.0:9"])) == [Self.sentence("0.0.0.0:9")])
    }

    /// At a reload: the setting `listen` may say what it likes.
    @Test
    func whatIsListenedOnAlreadyCounts() throws {
        let flags = SettingsFlags(sockets: .given, listening: [.tcp(host: "10.0.0.1", port: 7)])
        let folder = try SettingsFolder(["inferq.toml": ""])
        #expect(folder.problems(flags: flags) == [Self.sentence("10.0.0.1:7")])
        #expect(folder.problems(flags: SettingsFlags(listening: [.tcp(host: "10.0.0.1", port: 7)])).count == 1)
    }

    @Test(arguments: [
        ("redis://redis.lan", 1), ("redis://10.0.0.1:1", 1), ("redis://localhost", 0), ("redis://[::1]:1", 0),
        ("redis://127.0.0.2", 0), ("unix:/run/redis.sock", 0),
    ])
    func inModeKeysARedisElsewhereIsRefused(_ address: String, _ count: Int) throws {
        let keys = "[access]\nmode = \"keys\"\nkeys = \"/nowhere/inferq\"\n"
        let broker = "[broker]\nredis = \"\(address)\"\n"
        #expect(try SettingsFolder(["inferq.toml": keys + broker]).problems().count == count)
        #expect(try SettingsFolder(["inferq.toml": broker]).problems() == [])
        #expect(try SettingsFolder(["inferq.toml": keys + broker + "trusted = true"]).problems() == [])
        #expect(try SettingsFolder(["inferq.toml": keys + broker + "kind = \"ring\""]).problems() == [])
    }

    @Test
    func theSentenceOfARedisNamesTheWaysOut() throws {
        let text = "[access]\nmode = \"keys\"\nkeys = \"/nowhere\"\n[broker]\nredis = \"redis://u:secret@h\""
        #expect(
            try SettingsFolder(["inferq.toml": text]).problems() == [
                """
                inferq.toml: broker.redis: everyone on the Redis at h can read all events and speak as a worker, without a \
                key; use a Unix socket, a loopback address or a tunnel such as stunnel, or set broker.trusted = true if \
                no one else uses it
                """
            ])
    }
}
