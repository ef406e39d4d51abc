import Foundation
import InferqCore
import Testing

@testable import inferq

/// What files of keys may hold, and what is said of anything else.
struct KeyFolderTests {
    private func folder(_ files: [String: String]) throws -> SettingsFolder {
        let folder = try SettingsFolder(files)
        try folder.write("inferq.toml", Data(folder.keysMode.utf8))
        return folder
    }

    @Test
    func everySettingOfAClientIsReadBack() throws {
        let file = """
            [keys.erp]
            hashes = [
                \(KeySamples.hash("a", ", expires = \"2027-02-01T01:00:00+01:00\"")),   # the old one
                \(KeySamples.hash("b")),
            ]
            scopes = ["submit", "read:all"]
            models = ["ocr", "a.b:c"]
            max_priority = 7
            max_pending = 5
            max_running = 2
            rate = "600/1m"
            certificate = "spiffe://site.example/erp"
            """
        let settings = try folder(["keys.d/erp.toml": file]).load()
        var erp = Client("erp")
        let expires = try #require(Timestamp(rfc3339: "2027-02-01T00:00:00Z"))
        let digests = try ["a", "b"].map { try #require(KeyDigest(hex: KeySamples.hex($0))) }
        erp.keys = [Caller.Key(digests[0], expires: expires), Caller.Key(digests[1], expires: nil)]
        erp.scopes = [.submit, .readAll]
        erp.limits.models = ["ocr", "a.b:c"]
        erp.limits.maxPriority = 7
        erp.limits.maxPending = 5
        erp.limits.maxRunning = 2
        erp.limits.rate = Rate(count: 600, window: .seconds(60))
        erp.certificate = "spiffe://site.example/erp"
        #expect(settings.keys == KeyRing([erp]))
        #expect(Client.rows.filter { !$0.hasChanged(from: Client(""), to: erp) }.map(\.key) == [])
        #expect(
            settings.warnings.filter { $0.contains("keys.") } == [
                "keys.erp.models names ocr, but no model has that name",
                "keys.erp.models names a.b:c, but no model has that name",
            ])
        #expect(settings.summary().contains("keys: 1 client, 2 keys in "))
    }

    @Test
    func clientsMayShareAFileOrHaveTheirOwn() throws {
        let settings = try folder([
            "keys.d/b.toml": KeySamples.table("erp", "a") + KeySamples.table("\"a.b\"", "b"),
            "keys.d/a.toml": "[keys.none]\nscopes = []\n", "keys.d/.hidden.toml": "x", "keys.d/old.toml~": "x",
            "keys.d/empty.toml": "# nothing yet\n",
        ]).load()
        #expect(settings.keys.clients.map(\.name) == ["a.b", "erp", "none"])
        let digest = try #require(KeyDigest(hex: KeySamples.hex("b")))
        #expect(settings.keys.caller(with: digest)?.client == "a.b")
    }

    @Test
    func withoutAFolderThereAreNoKeys() throws {
        let settings = try folder([:]).load()
        #expect(settings.keys == KeyRing())
        #expect(settings.warnings.contains { $0.hasSuffix("create one with inferq key add NAME") })
    }

    @Test
    func inModeOpenNobodyReadsThem() throws {
        let folder = try SettingsFolder(["keys.d/a.toml": "nonsense"])
        try folder.write("inferq.toml", Data("[access]\nkeys = \"\(folder.keys)\"\n".utf8))
        #expect(try folder.load().keys == KeyRing())
        try folder.write("inferq.toml", Data(folder.keysMode.utf8))
        #expect(folder.problems().count == 1)
        // A command that shows no key to anybody may lack the right to read them.
        #expect(folder.problems(flags: SettingsFlags(sockets: .unneeded)) == [])
    }

    @Test(arguments: [
        (
            "[keys.erp]\nhashes = []",
            "keys.erp.scopes: missing; write something like [\"submit\", \"read\", \"cancel\"]"
        ),
        (
            "[keys.erp]\nscopes = [\"submit\", \"write\"]",
            """
            keys.erp.scopes: item 2: expected a scope, found the string "write"; choose "submit", "read", "cancel", \
            "read:all", "operate", "metrics", "*"
            """
        ),
        (
            "[keys.erp]\nscopes = \"*\"",
            """
            keys.erp.scopes: expected a list, found the string "*"; write something like ["submit", "read", "cancel"]
            """
        ),
        ("[keys.erp]\nscopes = []\nmodel = \"x\"", "keys.erp.model: unknown key; did you mean models?"),
        (
            "[keys.erp]\nscopes = []\nmodels = [\"a b\"]",
            "keys.erp.models: item 1: \"a b\" cannot name a model; write it as in its table [models.NAME]"
        ),
        ("[keys.erp]\nscopes = []\nmax_priority = 101", "keys.erp.max_priority: 101 is out of range; choose 0 to 100"),
        (
            "[keys.erp]\nscopes = []\nmax_pending = -1",
            "keys.erp.max_pending: -1 is out of range; choose 0 to 1000000000"
        ),
        (
            "[keys.erp]\nscopes = []\nrate = \"fast\"",
            """
            keys.erp.rate: expected a number and a duration, found the string "fast"; write something like "600/1m", a \
            number per duration
            """
        ),
        (
            "[keys.erp]\nscopes = []\ncertificate = 1",
            "keys.erp.certificate: expected a string, found the number 1; write something like \"spiffe://site.example/erp\""
        ),
        (
            "[keys.local]\nscopes = []",
            """
            keys.local: the name of a client cannot be written like this; use 1 to 64 letters, digits, dots, underscores \
            and hyphens, a letter or digit first, and none of anonymous, local, admin
            """
        ),
        (
            "[keys.\"a b\"]\nscopes = []",
            """
            keys."a b": the name of a client cannot be written like this; use 1 to 64 letters, digits, dots, underscores \
            and hyphens, a letter or digit first, and none of anonymous, local, admin
            """
        ),
        (
            "mode = \"keys\"",
            "mode: unknown key; only tables [keys.NAME] belong here; move it to inferq.toml or conf.d"
        ),
        ("keys = 1", "keys: expected a table, found a number; write it as [keys.NAME]"),
        ("[keys]\nerp = 1", "keys.erp: expected a table, found a number; write it as [keys.NAME]"),
        (
            "[keys.erp]\nscopes = []\nhashes = [1]",
            """
            keys.erp.hashes: item 1: expected a table, found a number; write something like { id = "9f3c21aa", sha256 = \
            "9f3c21aa..." }
            """
        ),
        (
            "[keys.erp]\nscopes = []\nhashes = [{ sha256 = \"abc\", id = \"abc\" }]",
            """
            keys.erp.hashes: item 1: sha256 is not 64 lower-case hexadecimal digits; let inferq write it: inferq key add \
            NAME, or inferq key rotate NAME
            """
        ),
        (
            "[keys.erp]\nscopes = []\nhashes = [{ sha256 = \"\(KeySamples.hex("a"))\" }]",
            """
            keys.erp.hashes: item 1: id is missing; let inferq write it: inferq key add NAME, or inferq key rotate NAME
            """
        ),
        (
            "[keys.erp]\nscopes = []\nhashes = [{ id = \"bbbbbbbb\", sha256 = \"\(KeySamples.hex("a"))\" }]",
            """
            keys.erp.hashes: item 1: id is not the first 8 digits of sha256; correct the one that was changed
            """
        ),
        (
            "[keys.erp]\nscopes = []\nhashes = [\(KeySamples.hash("a", ", expires = \"soon\""))]",
            """
            keys.erp.hashes: item 1: expires is not an RFC 3339 time; write something like "2027-02-01T00:00:00Z"
            """
        ),
        (
            "[keys.erp]\nscopes = []\nhashes = [\(KeySamples.hash("a", ", expires = 2027-02-01T00:00:00Z"))]",
            """
            keys.erp.hashes: item 1: expires: expected a string, found a date or time; write something like \
            "2027-02-01T00:00:00Z"
            """
        ),
        (
            "[keys.erp]\nscopes = []\nhashes = [\(KeySamples.hash("a", ", valid = 1"))]",
            "keys.erp.hashes: item 1: unknown key \"valid\"; remove it; known here: expires, id, sha256"
        ),
        (
            "[keys.erp]\nscopes = []\nhashes = [\(KeySamples.hash("a")), \(KeySamples.hash("a"))]",
            "keys.erp.hashes: item 2: the key aaaaaaaa is in the list twice; keep one of them"
        ),
    ])
    func aBrokenFileIsExplained(_ text: String, _ problem: String) throws {
        #expect(try folder(["keys.d/erp.toml": text]).problems() == ["keys.d/erp.toml: " + problem])
    }

    @Test
    func whatStandsTwiceIsRefused() throws {
        var table = KeySamples.table("erp", "a")
        let certificate = "certificate = \"box\"\n"
        let named = try folder(["keys.d/1.toml": table, "keys.d/2.toml": KeySamples.table("erp", "b")])
        #expect(
            named.problems()
                == ["keys.d/2.toml: keys.erp: the client is in keys.d/1.toml too; keep one of the two tables"])
        let same = try folder(["keys.d/1.toml": table, "keys.d/2.toml": KeySamples.table("other", "a")])
        #expect(
            same.problems() == [
                """
                keys.d/2.toml: keys.other.hashes: the key aaaaaaaa also belongs to keys.erp in keys.d/1.toml; give each \
                client a key of its own
                """
            ])
        let near = "[keys.other]\nscopes = []\nhashes = [\(KeySamples.hash("a", tail: "b"))]\n"
        #expect(
            try folder(["keys.d/1.toml": table, "keys.d/2.toml": near]).problems() == [
                """
                keys.d/2.toml: keys.other.hashes: the key aaaaaaaa has the same id as another key, of keys.erp in \
                keys.d/1.toml; give the client another key with inferq key rotate, and revoke this one
                """
            ])
        table += certificate
        let shared = ["keys.d/1.toml": table, "keys.d/2.toml": KeySamples.table("other", "b") + certificate]
        #expect(
            try folder(shared).problems() == [
                """
                keys.d/2.toml: keys.other.certificate: the name also stands for keys.erp in keys.d/1.toml; give each client \
                a certificate of its own
                """
            ])
    }

    @Test(arguments: ["inferq.toml", "conf.d/10.toml"])
    func amongTheSettingsTheyAreRefused(_ file: String) throws {
        let folder = try SettingsFolder([file: KeySamples.table("erp", "a")])
        let advice = "move the table to a file in /etc/inferq/keys.d"
        #expect(folder.problems() == ["\(file): keys: the keys of clients have a folder of their own; \(advice)"])
    }

    /// Wherever a key or a hash lands by mistake.
    @Test
    func noSentenceQuotesAKeyOrAHash() throws {
        let key = AccessKey()
        let (text, hex) = (key.text, key.digest.hex)
        let files = [
            "[keys.erp]\nscopes = []\nhashes = [{ id = \"\(key.digest.id)\", sha256 = \"\(text)\" }]",
            "[keys.erp]\nscopes = []\nhashes = [{ id = \"\(text)\", sha256 = \"\(hex)\" }]",
            "[keys.erp]\nscopes = []\nhashes = [\"\(text)\"]", "[keys.erp]\nscopes = []\nhashes = \"\(text)\"",
            "[keys.erp]\nscopes = []\nhashes = \"\(hex)\"", "[keys.erp]\nscopes = []\nhashes = \(text)",
            "[keys.erp]\nscopes = [\"\(text)\"]", "[keys.erp]\nscopes = []\nmodels = [\"\(hex)x y\", \"\(hex) \"]",
            "[keys.erp]\nscopes = []\nrate = \"\(text)\"", "[keys.erp]\nscopes = []\n\(text) = 1", "[keys.\(text)]",
            "\(text) = 1", "[keys.erp]\n\(text) = 1\n\(text) = 2", "[\(text)]\n[\(text)]", "\(text)",
            "[keys.erp]\nx = \(hex)",
            "[keys.erp]\nscopes = []\nhashes = [{ id = \"\(hex)\", sha256 = \"\(hex)x\" }]",
            "[keys.erp]\nscopes = []\nhashes = [{ \(text) = 1 }]",
        ]
        for file in files {
            let said = try folder(["keys.d/erp.toml": file]).problems().joined(separator: "\n")
            #expect(!said.isEmpty, "\(file)")
            let (digits, rest) = (text.dropFirst(5).prefix(12), hex.dropFirst(12).prefix(12))
            #expect(!said.contains(digits) && !said.contains(rest), "\(said)")
        }
        let clear = try folder(["keys.d/erp.toml": files[0]]).problems()
        #expect(
            clear == [
                """
                keys.d/erp.toml: keys.erp.hashes: item 1: sha256 holds a key itself, where its hash belongs, so the key \
                is no longer a secret; give the client another one with inferq key rotate, and remove this one
                """
            ])
    }

    @Test
    func aFolderThatIsNoneIsRefused() throws {
        let folder = try SettingsFolder(["keys": "x"])
        let text = "[access]\nmode = \"keys\"\nkeys = \"\(folder.path)/keys\"\n"
        try folder.write("inferq.toml", Data(text.utf8))
        #expect(folder.problems() == ["keys: the folder cannot be read; check its permissions"])
    }

    @Test
    func everyFileIsSaid() throws {
        let folder = try folder(["keys.d/a.toml": "x = 1", "keys.d/b.toml": "[", "keys.d/c.toml": "[keys.c]\n"])
        #expect(folder.problems().map { $0.prefix(13) } == ["keys.d/a.toml", "keys.d/b.toml", "keys.d/c.toml"])
    }
}
