import Testing

@testable import inferq

struct SettingsAdviceTests {
    private func advice(_ text: String) throws -> [String] {
        let folder = try SettingsFolder(["inferq.toml": "[store]\npath = \"/var/lib/inferq.db\"\n" + text])
        return try folder.load().advice
    }

    @Test(arguments: [
        (
            "[models.a]\nurl = \"http://127.0.0.1:1/x\"\nconcurrency = 3\n[models.b]\nurl = \"http://127.0.0.1:1/x\"",
            "models.a and models.b have the same url, so their server gets up to 4 calls at a time"
        ),
        ("synchronous = \"normal\"", "store.synchronous is \"normal\""),
        ("retention = \"0s\"", "store.retention is 0, so ended jobs stay until they have 8GiB"),
        ("[models.a]\nurl = \"http://127.0.0.1:1\"\ndialect = \"ollama\"", "add health = \"/api/version\""),
        ("[models.a]\nurl = \"http://127.0.0.1:1\"\ndialect = \"kserve\"", "add health = \"/v2/health/ready\""),
    ])
    func saysWhatIsAllowedAndUnwise(text: String, sentence: String) throws {
        let found = try advice(text)
        #expect(found.count == 1 && found[0].contains(sentence), "\(found)")
    }

    @Test func aNameOfTwoTablesIsToldOnceWhicheverHasThePattern() throws {
        let table = { (name: String, port: Int, names: String) in
            """
            [models.\(name)]
            url = "http://127.0.0.1:\(port)"
            dialect = "openai"
            health = "/health"
            names = \(names)

            """
        }
        for (one, other) in [("[\"gpt-*\"]", "[\"gpt-4\"]"), ("[\"gpt-4\"]", "[\"gpt-*\"]")] {
            let found = try advice(table("a", 1, one) + table("b", 2, other))
            #expect(found.count == 1 && found[0].hasPrefix("models.a and models.b both have the name \"gpt-4\""))
        }
        #expect(try advice(table("a", 1, "[\"gpt-*\"]") + table("b", 2, "[\"qwen\"]")).isEmpty)
    }

    @Test func thePackagedDefaultsNeedNoAdvice() throws {
        #expect(try advice("[models.ocr]\nurl = \"http://127.0.0.1:9001/predict\"").isEmpty)
    }

    private static let mounts = """
        22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
        23 22 0:21 / /run rw,nosuid shared:2 - tmpfs tmpfs rw
        24 22 0:40 / /mnt/my\\040nas rw shared:3 - nfs4 nas:/jobs rw
        25 22 0:41 / /srv rw shared:4 - tmpfs tmpfs rw
        26 22 8:1 / /srv rw shared:5 master:2 - xfs /dev/sda1 rw

        """

    @Test(arguments: [
        ("/var/lib/inferq", "ext4"), ("/run/inferq", "tmpfs"), ("/runner", "ext4"), ("/mnt/my nas/x", "nfs4"),
        ("/srv/jobs", "xfs"), ("/", "ext4"),
    ])
    func theFileSystemOfAPathIsThatOfItsMount(folder: String, name: String) {
        #expect(FileSystemKind(of: folder, in: Self.mounts)?.name == name)
    }

    @Test func aStoreInMemoryOrOnANetworkIsToldOf() {
        let trouble = { (folder: String) in FileSystemKind(of: folder, in: Self.mounts)?.trouble }
        #expect(trouble("/run/x")?.hasPrefix("is in memory (tmpfs)") == true)
        #expect(trouble("/mnt/my nas")?.hasPrefix("is on a network file system (nfs4)") == true)
        #expect(trouble("/var/lib/inferq") == nil)
        #expect(FileSystemKind(of: "/", in: "nonsense\n") == nil)
    }
}
