import InferqCore
import Testing

@testable import inferq

/// What `inferq key` changes in a file, and what it leaves alone.
struct KeyTextTests {
    private static func key(_ digit: Character, expires: String? = nil) throws -> Caller.Key {
        let digest = try #require(KeyDigest(hex: KeySamples.hex(digit)))
        return Caller.Key(digest, expires: expires.flatMap(Timestamp.init(rfc3339:)))
    }

    private static let file = """
        # Ours, since 2026.
        [keys.other]
        hashes = [\(KeySamples.hash("f"))]
        scopes = ["submit"]

        [ keys . "erp" ]   # the ERP
        scopes = ["submit", "read"]   # [ not more
        hashes = [
            # the key of the old server
            \(KeySamples.hash("a", ", expires = \"2027-01-01T00:00:00Z\"")),  # mend in spring
            \(KeySamples.hash("b"))   # no comma
        ] # end
        rate = "600/1m"

        """

    @Test
    func aNewFileReadsBack() throws {
        var client = Client("a.b")
        client.keys = [try Self.key("a", expires: "2027-01-01T00:00:00Z")]
        client.scopes = [.submit, .readAll]
        client.limits.models = ["ocr"]
        client.limits.rate = Rate(count: 600, window: .seconds(60))
        let text = KeyText(client).text
        let folder = try SettingsFolder(["keys.d/a.toml": text])
        let problems = ProblemList()
        #expect(KeyFolder(folder.keys).read(problems: problems) == KeyRing([client]) && problems.all.isEmpty)
        #expect(text.contains("[keys.\"a.b\"]") && !text.contains("max_pending"))
    }

    @Test
    func aKeyIsAddedAndAnotherOneEnds() throws {
        let old = [try Self.key("a", expires: "2027-01-01T00:00:00Z"), try Self.key("b")]
        var text = KeyText(Self.file)
        let end = "2026-12-01T00:00:00.000Z"
        try text.replace(old, of: "erp", with: [old[0], Self.key("b", expires: end), Self.key("c")])
        let expected = Self.file
            .replacing(KeySamples.hash("b"), with: KeySamples.hash("b", ", expires = \"\(end)\"") + ",")
            .replacing("no comma\n", with: "no comma\n    \(KeySamples.hash("c")),\n")
        #expect(text.text == expected)
    }

    @Test
    func aKeyIsRemovedWithItsLine() throws {
        let old = [try Self.key("a", expires: "2027-01-01T00:00:00Z"), try Self.key("b")]
        var text = KeyText(Self.file)
        try text.replace(old, of: "erp", with: [old[1]])
        let line = "    \(KeySamples.hash("a", ", expires = \"2027-01-01T00:00:00Z\"")),  "
        #expect(text.text == Self.file.replacing(line, with: "    "))
        try text.replace([old[1]], of: "erp", with: [])
        #expect(text.text.contains("no comma") && !text.text.contains("bbbbbbbb") && text.text.contains("ffffffff"))
        try text.replace([], of: "erp", with: [Self.key("c"), Self.key("d")])
        #expect(text.text.contains("    \(KeySamples.hash("c")),\n    \(KeySamples.hash("d")),\n] # end"))
    }

    @Test(arguments: [
        ("[]", 0), ("[ ]", 0), ("[\n]", 0), ("[ # none\n]", 0), ("[A]", 1), ("[ A, ]", 1), ("[A,\n]", 1),
        ("[\n  A\n]", 1),
        ("[A, B]", 2), ("[A\n, B]", 2), ("[A,B,]", 2), ("[\n\tA,\n\tB,\n\t]", 2), ("[\nA # ,\n,\nB\n]", 2),
    ])
    func listsOfEveryFormAreChanged(_ list: String, _ count: Int) throws {
        let list = list.replacing("A", with: KeySamples.hash("a")).replacing("B", with: KeySamples.hash("b"))
        let keys = Array([try Self.key("a"), try Self.key("b")].prefix(count))
        let before = "[keys.erp]\nhashes = \(list)\nscopes = [\"read\"]\n"
        for new in [
            [], try [Self.key("c")], keys + [try Self.key("c")], try keys.dropFirst() + [Self.key("c"), Self.key("d")],
        ] {
            var text = KeyText(before)
            try text.replace(keys, of: "erp", with: new)
            let folder = try SettingsFolder(["keys.d/a.toml": text.text])
            let problems = ProblemList()
            let clients = KeyFolder(folder.keys).read(problems: problems).clients
            #expect(problems.all.isEmpty && clients.map(\.keys) == [new] && clients[0].scopes == .read, "\(text.text)")
        }
    }

    @Test
    func aTableWithoutHashesIsGivenSome() throws {
        var text = KeyText("[keys.erp]\nscopes = [\"read\"]\n")
        try text.replace([], of: "erp", with: [Self.key("a")])
        #expect(text.text == "[keys.erp]\nhashes = [\n    \(KeySamples.hash("a")),\n]\nscopes = [\"read\"]\n")
    }

    @Test(arguments: [
        "keys.erp.hashes = []\nkeys.erp.scopes = []\n", "[keys]\nerp = { hashes = [], scopes = [] }\n",
        "keys = { erp = { hashes = [], scopes = [] } }\n", "[keys]\nerp.hashes = []\nerp.scopes = []\n",
        "[keys.\"\\u0065rp\"]\nhashes = []\nscopes = []\n", "",
    ])
    func otherFormsAreLeftAlone(_ file: String) throws {
        var text = KeyText(file)
        #expect(throws: KeyText.NotEditable.self) { try text.replace([], of: "erp", with: [Self.key("a")]) }
        #expect(text.text == file)
    }

    @Test
    func whatLooksLikeAHashElsewhereIsNone() throws {
        let file = """
            [keys.erp]
            models = ['''
            [keys.erp]
            hashes = [{}]
            ''', "hashes = [", 'x"']
            "hashes" = []
            scopes = []
            """
        var text = KeyText(file)
        try text.replace([], of: "erp", with: [Self.key("a")])
        let list = "[\n    \(KeySamples.hash("a")),\n]"
        #expect(text.text == file.replacing("\"hashes\" = []", with: "\"hashes\" = \(list)"))
    }

    @Test
    func anySplicedFileIsChangedRightlyOrNotAtAll() throws {
        let old = [try Self.key("a", expires: "2027-01-01T00:00:00Z"), try Self.key("b")]
        let bytes = Array(Self.file.utf8)
        for cut in stride(from: 0, to: bytes.count, by: 3) {
            for length in [1, 7, 40] {
                var changed = bytes
                changed.removeSubrange(cut..<min(cut + length, bytes.count))
                var text = KeyText(String(decoding: changed, as: UTF8.self))
                // What cannot be changed is refused; what is must be TOML with the new hash in it.
                guard (try? text.replace(old, of: "erp", with: old + [Self.key("c")])) != nil else { continue }
                let tree = try TOMLDocument.parse(text.text, from: "")
                guard case .list(let items)? = tree.value(at: ["keys", "erp", "hashes"]) else {
                    Issue.record("no list in \(text.text)")
                    continue
                }
                #expect(items.count == 3)
            }
        }
    }
}
