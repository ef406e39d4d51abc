import Foundation
import InferqHTTP
import Testing

@testable import inferq

/// What a broken configuration is told, word for word.
struct SettingsProblemTests {
    @Test(arguments: [
        // Keys that no one knows.
        ("lisen = []", "lisen: unknown key; did you mean listen?"),
        ("log-level = \"info\"", "log-level: unknown key; did you mean log_level?"),
        ("[limits]\nconections = 1", "limits.conections: unknown key; did you mean connections?"),
        ("[models.a]\nurl = \"http://h/p\"\ntimout = 1", "models.a.timout: unknown key; did you mean timeout?"),
        ("[model.a]\nurl = \"http://h/p\"", "model: unknown key; did you mean models?"),
        (
            "[models.a]\nurl = \"http://h/p\"\nlog_level = \"info\"",
            "models.a.log_level: unknown key; move it to the top of the file, above the first [table]"
        ),
        (
            "[models.a]\nurl = \"http://h/p\"\n[models.a.backoff]\nmaximum = 3",
            "models.a.backoff.maximum: unknown key; remove it; known here: base, cap"
        ),
        ("\"li\\nsten\" = 1", "\"li\\nsten\": unknown key; did you mean listen?"),
        // Wrong types.
        (
            "[limits]\nconnections = \"many\"",
            "limits.connections: expected a whole number, found the string \"many\"; write something like 4096"
        ),
        (
            "[limits]\nconnections = \"12\"",
            "limits.connections: expected a whole number, found the string \"12\"; write it without quotation marks"
        ),
        (
            "[limits]\nconnections = nan",
            "limits.connections: expected a whole number, found the number nan; write something like 4096"
        ),
        (
            "sync_wait = 1979-05-27",
            """
            sync_wait: expected a duration, found a date or time; write something like "55s" (the units are ms, \
            s, m, h and d)
            """
        ),
        (
            "sync_wait = nan",
            """
            sync_wait: expected a duration, found the number nan; write something like "55s" (the units are ms, \
            s, m, h and d)
            """
        ),
        (
            "sync_wait = -1",
            """
            sync_wait: expected a duration, found the number -1; write something like "55s" (the units are ms, s, \
            m, h and d)
            """
        ),
        (
            "max_body = \"16MB\"",
            """
            max_body: expected a size, found the string "16MB"; write something like "16MiB" (the units are B, KiB, \
            MiB, GiB and TiB)
            """
        ),
        (
            "listen = \"127.0.0.1:1\"",
            "listen: expected a list, found the string \"127.0.0.1:1\"; write something like [\"127.0.0.1:8484\"]"
        ),
        (
            "listen = [7]",
            "listen: item 1: expected an address, found the number 7; write something like \"127.0.0.1:8484\""
        ),
        ("limits = 3", "limits: expected a table, found a number; write it as [limits]"),
        ("[[limits]]\nconnections = 1", "limits: expected a table, found a list; write it as [limits]"),
        ("[models]\nurl = \"http://h/p\"", "models.url: expected a table, found a string; write it as [models.NAME]"),
        (
            "[models.a]\nurl = \"http://h/p\"\nbackoff = \"1s\"",
            "models.a.backoff: expected a table, found a string; write it as { base = \"1s\", cap = \"2m\" }"
        ),
        (
            "public_url = true",
            "public_url: expected a string, found true; write something like \"http://gateway.example:8484\""
        ),
        (
            "log_level = \"loud\"",
            """
            log_level: expected one of a few words, found the string "loud"; choose "trace", "debug", "info", "notice", \
            "warning", "error", "critical"
            """
        ),
        (
            "[store]\npage_size = \"3KiB\"",
            "store.page_size: \"3KiB\" is not one of the possible sizes; choose \"1KiB\", \"2KiB\", \"4KiB\""
        ),
        (
            "[store]\nprofile = \"ssd\"",
            "store.profile: expected one of a few words, found the string \"ssd\"; choose \"standard\", \"flash\""
        ),
        (
            "[store]\nsynchronous = \"off\"",
            "store.synchronous: expected one of a few words, found the string \"off\"; choose \"full\", \"normal\""
        ),
        // Out of range.
        ("[limits]\nconnections = 0", "limits.connections: 0 is out of range; choose 1 to 1000000"),
        ("heartbeat = \"0s\"", "heartbeat: \"0s\" is out of range; choose \"10ms\" to \"1h\""),
        ("heartbeat = 0", "heartbeat: 0 is out of range; choose \"10ms\" to \"1h\""),
        ("max_body = 0", "max_body: 0 is out of range; choose \"1KiB\" to \"16GiB\""),
        ("[broker]\nring_capacity = 0", "broker.ring_capacity: 0 is out of range; choose 1 to 1048576"),
        (
            "[models.a]\nurl = \"http://h/p\"\nconcurrency = 4097",
            "models.a.concurrency: 4097 is out of range; choose 1 to 4096"
        ),
        (
            "[models.a]\nurl = \"http://h/p\"\nmax_attempts = 26",
            "models.a.max_attempts: 26 is out of range; choose 1 to 25"
        ),
        // TLS.
        ("[tls]\ncertificate = \"/c\"", "tls.key: missing, and tls.certificate is set; name the file of its key"),
        ("[tls]\nkey = \"/k\"", "tls.certificate: missing, and tls.key is set; name the file of its certificate"),
        (
            "[tls]\nclient_ca = \"ca.pem\"",
            """
            tls.client_ca: "ca.pem" is not the absolute path of a file; write it in full, for example \
            "/etc/inferq/tls/cert.pem"
            """
        ),
        (
            "listen = [\"tls://127.0.0.1:8443\"]",
            """
            tls.certificate: missing, and listen has tls://127.0.0.1:8443; set it and tls.key (inferq cert init makes a \
            pair), or remove the address
            """
        ),
        // Addresses.
        (
            "listen = [\"8484\"]",
            """
            listen: item 1: "8484" has no port; write something like "127.0.0.1:8484", "[::1]:8484" or \
            "unix:/run/inferq/inferq.sock"
            """
        ),
        (
            "listen = [\":8484\"]",
            "listen: item 1: \":8484\" has no address; write \"0.0.0.0:8484\" for every IPv4 address"
        ),
        ("listen = [\"::1:8484\"]", "listen: item 1: \"::1:8484\" lacks brackets; write \"[::1]:8484\""),
        (
            "listen = []",
            "listen: the list is empty, and systemd passes no sockets; name at least one address, for example \"127.0.0.1:8484\""
        ),
        (
            "public_url = \"gateway:8484\"",
            "public_url: expected a URL; write something like \"http://gateway.example:8484\""
        ),
        (
            "hosts = [\"http://a\"]",
            """
            hosts: item 1: "http://a" is not a host name; write only the name, for example "gateway.example", \
            without scheme and port
            """
        ),
        (
            "origins = [\"*\"]",
            "origins: item 1: \"*\" would let every website call; name each origin, or proxy the gateway"
        ),
        (
            "origins = [\"https://a.example/x\"]",
            """
            origins: item 1: "https://a.example/x" is more than an origin; write something like \
            "https://app.example", without a path
            """
        ),
        (
            "[models.a]",
            "models.a.url: missing; set it to the model server's address, for example \"http://127.0.0.1:9001/predict\""
        ),
        (
            "[models.a]\nurl = \"\"",
            "models.a.url: expected a URL; write something like \"http://127.0.0.1:9001/predict\""
        ),
        (
            "[models.a]\nurl = \"http://h:0/p\"",
            """
            models.a.url: the URL's port is not one from 1 to 65535; write something like \
            "http://127.0.0.1:9001/predict"
            """
        ),
        (
            "[models.a]\nurl = \"http+unix:///run/x.sock\"",
            """
            models.a.url: the URL names no absolute path of a Unix socket; escape its slashes, for example \
            "http+unix://%2Frun%2Focr.sock/predict"
            """
        ),
        (
            "[models.\"a/b\"]\nurl = \"http://h/p\"",
            """
            models."a/b": the name of a model cannot be written like this; use at most 128 letters, digits, \
            dots, underscores, colons and hyphens, a letter or digit first
            """
        ),
        // Redis.
        (
            "[broker]\nredis = \"rediss://h\"",
            """
            broker.redis: TLS to Redis is not available, since Debian's hiredis is used without it; use a Unix \
            socket, a loopback address or a tunnel such as stunnel
            """
        ),
        (
            "[broker]\nkind = \"redis\"",
            """
            broker.kind: "redis" needs the address of a Redis; set broker.redis, for example to \
            "redis://127.0.0.1:6379/0", or choose "auto" or "ring"
            """
        ),
        // One setting against another.
        (
            "[limits]\nbodies_in_flight = \"1MiB\"",
            """
            limits.bodies_in_flight: less than max_body (16MiB), so the largest bodies would never be \
            accepted; raise it to "16MiB" or lower max_body
            """
        ),
        (
            "[models.a]\nurl = \"http://h/p\"\nbackoff = { base = \"10s\", cap = \"5s\" }",
            "models.a.backoff.cap: the cap (5s) is less than the base (10s); raise cap or lower base"
        ),
        (
            "[models.a]\nurl = \"http://h/p\"\nlayers = \"x\"",
            """
            models.a.layers: "x" is refused: a JSON Pointer is empty or begins with '/'; write something like \
            "/result/layers", with ~0 for a tilde and ~1 for a slash in a name
            """
        ),
        (
            "[models.a]\nurl = \"http://h/p\"\nlayers = \"/a~2\"",
            """
            models.a.layers: "/a~2" is refused: in a JSON Pointer '~' must be followed by 0 or 1; write something like \
            "/result/layers", with ~0 for a tilde and ~1 for a slash in a name
            """
        ),
        (
            "[models.a]\nurl = \"http://h/p\"\nhealth = \"up\"",
            "models.a.health: \"up\" is not a path on the model server; write something like \"/health\""
        ),
        (
            "[models.a]\nurl = \"http://h/p\"\nheaders = { Host = \"x\" }",
            "models.a.headers.Host: the gateway sets this header itself; remove it"
        ),
        (
            "[models.a]\nurl = \"http://h/p\"\nheaders = { \"a b\" = \"x\" }",
            "models.a.headers.\"a b\": this cannot be the name of a header; write something like \"Authorization\""
        ),
        // Text that is no TOML.
        (
            "listen = ",
            "line 1, column 10: Error while parsing key-value pair: encountered end-of-file; correct the file there"
        ),
        (
            "a = 1\na = 2",
            """
            line 2, column 5: Error while parsing key-value pair: cannot redefine existing integer 'a'; \
            correct the file there
            """
        ),
    ])
    func aBrokenSettingIsExplained(_ text: String, _ problem: String) throws {
        let folder = try SettingsFolder(["inferq.toml": text])
        #expect(folder.problems() == ["inferq.toml: " + problem])
    }

    @Test
    func everyProblemIsSaidAndNotTheFirstAlone() throws {
        let folder = try SettingsFolder([
            "inferq.toml": "sync_wait = true\nx = 1\n[store]\nreaders = 0\n[models.a]\n",
            "conf.d/10.toml": "[limits\n",
        ])
        #expect(
            folder.problems() == [
                """
                conf.d/10.toml: line 1, column 8: Error while parsing table header: expected ']', saw '\\n'; \
                correct the file there
                """,
                """
                inferq.toml: sync_wait: expected a duration, found true; write something like "55s" (the units \
                are ms, s, m, h and d)
                """,
                "inferq.toml: store.readers: 0 is out of range; choose 1 to 64",
                """
                inferq.toml: x: unknown key; remove it; known here: access, batch, broker, drain_timeout, heartbeat, \
                hosts, limits, listen, log_format, log_level, max_body, max_upload, models, origins, public_url, repeat_window, \
                store, stream, sync_wait, tls, worker
                """,
            ])
    }

    @Test
    func aProblemNamesTheFileThatTheValueCameFrom() throws {
        let folder = try SettingsFolder([
            "inferq.toml": "[limits]\nconnections = 1\nhead = 1\n",
            "conf.d/10.toml": "[limits]\nconnections = 0\n",
        ])
        #expect(
            folder.problems() == [
                "conf.d/10.toml: limits.connections: 0 is out of range; choose 1 to 1000000",
                "inferq.toml: limits.head: 1 is out of range; choose \"256B\" to \"1MiB\"",
            ])
    }

    @Test
    func aLongTextIsNotRepeatedInFull() throws {
        let text = String(repeating: "x", count: 65_536)
        let folder = try SettingsFolder([
            "inferq.toml": "log_level = \"\(text)\"\npublic_url = \"\(text)\"\n\"\(text)\" = 1"
        ])
        let problems = folder.problems()
        #expect(problems.count == 3)
        #expect(problems.allSatisfy { $0.count < 400 })
    }

    @Test(arguments: [
        ("a\u{0}b = 1", "contains a NUL character; remove it"),
        ("a = \"\\u0000\"", "contains a NUL character; remove it"),
        (
            "[" + Array(repeating: "a", count: 20_000).joined(separator: ".") + "]",
            "contains more than 10000 dots; spread the settings over several files in conf.d"
        ),
        ("# " + String(repeating: "x", count: 1 << 20), "is larger than 1024 KiB; make it smaller"),
    ])
    func textThatTheParserCannotCarryIsRefused(_ text: String, _ problem: String) throws {
        #expect(try SettingsFolder(["inferq.toml": text]).problems() == ["inferq.toml: " + problem])
    }

    @Test(arguments: [
        ("[", 1, 2, name), ("[\n", 1, 2, name), ("[.a]", 1, 2, name), ("a = 1\n [é]", 2, 3, name), ("[[ =", 1, 4, name),
        ("[ [a]]", 1, 3, name), ("\u{FEFF}[#", 1, 2, name), ("[\r\n", 1, 2, name), ("[[[a]]]", 1, 3, name),
        ("a = [}", 1, 6, "'}' does not close anything"),
        ("a = { b = [1,}", 1, 14, "'}' does not close anything"),
        ("a = \"\"\"\n\"\"\"\"\"\nb = [\n  1, # }\n  }", 5, 3, "'}' does not close anything"),
        ("a = 'é' \u{2028}", 1, 9, "this character must be inside quotation marks"),
        ("a = 1979-05-27 7\n", 1, 15, "expected the end of the line after a number or a date"),
    ])
    func whatTheParserWouldTrapOverIsRefusedFirst(
        _ text: String,
        _ line: Int,
        _ column: Int,
        _ what: String
    ) throws {
        let place = "inferq.toml: line \(line), column \(column): "
        let sentence = place + what + "; correct the file there"
        #expect(try SettingsFolder(["inferq.toml": text]).problems() == [sentence])
    }

    private static let name = "expected the name of a table after ["

    @Test
    func stringsAndCommentsMayHoldAnything() throws {
        let text = ##"""
            # } ] é
            listen = [ # }
              "unix:/}]", # [
              'unix:/\', """unix:/"}\"#""", '''unix:/[é'#'''
            ]
            """##
        let settings = try SettingsFolder(["inferq.toml": text]).load()
        #expect(settings.listen.map(\.description) == ["unix:/}]", "unix:/\\", "unix:/\"}\"#", "unix:/[é'#"])
    }

    @Test(arguments: [
        "[a", "[a.", "[\"a", "a = ", "a = [", "a = {", "a = {b", "a = \"", "a = '''", "a", "a.", "[]", "[[]]", "[a]]",
    ])
    func aTextThatBreaksOffIsRefused(_ text: String) throws {
        #expect(try SettingsFolder(["inferq.toml": text]).problems().count == 1)
    }

    @Test
    func bytesThatAreNotUTF8AreRefused() throws {
        let folder = try SettingsFolder()
        try folder.write("inferq.toml", Data([0x61, 0x20, 0x3D, 0x20, 0x22, 0xFF, 0x22]))
        #expect(folder.problems() == ["inferq.toml: is not UTF-8; save it as UTF-8"])
    }

    @Test
    func aFolderInPlaceOfAFileIsRefused() throws {
        let folder = try SettingsFolder()
        #expect(
            folder.problems(flags: SettingsFlags(config: folder.path + "/conf.d"))
                == ["conf.d: is a folder, not a file; name a file"])
    }

    @Test
    func deepNestingIsAnUnknownKey() throws {
        let deep = "a" + String(repeating: ".a", count: 200) + " = 1"
        let nested = "b = " + String(repeating: "[", count: 300) + String(repeating: "]", count: 300)
        #expect(try SettingsFolder(["inferq.toml": deep]).problems().count == 1)
        #expect(try SettingsFolder(["inferq.toml": nested]).problems().count == 1)
    }
}
