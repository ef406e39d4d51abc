import Foundation
import InferqCore
import InferqHTTP
import Testing

@testable import inferq

/// What the doctor says of keys and listeners.
struct AccessExaminationTests {
    private func findings(_ files: [String: String], _ change: (inout Settings) -> Void = { _ in }) throws -> [String] {
        let folder = try SettingsFolder(files)
        for name in files.keys { chmod("\(folder.path)/\(name)", 0o640) }
        chmod(folder.keys, 0o750)
        var settings = Settings()
        settings.access.keys = folder.keys
        settings.store.path = "\(folder.path)/inferq.db"
        change(&settings)
        let now = try #require(Timestamp(rfc3339: "2026-12-01T00:00:00Z"))
        return AccessExamination(settings, now: now).findings.map { finding in
            "\(finding.verdict.rawValue) \(finding.subject): \(finding.sentence)".replacing("\(folder.path)/", with: "")
        }
    }

    @Test
    func nothingIsSaidWhereThereIsNothing() throws {
        #expect(try findings([:]) == [])
        #expect(try findings(["keys.d/a.toml": ""]) == [])
    }

    @Test
    func keysThatHoldAreWell() throws {
        let file = "[keys.a]\nscopes = []\nhashes = [\(KeySamples.hash("a", ", expires = \"2027-02-01T00:00:00Z\""))]\n"
        #expect(try findings(["keys.d/a.toml": file + KeySamples.table("b", "b")]) == ["ok keys: 2 clients, 2 keys"])
    }

    @Test(arguments: [
        (
            ["2026-11-30T00:00:00Z"],
            ["wrong keys: all keys of a have expired; give it another one with inferq key rotate a"]
        ),
        (
            ["2026-12-21T00:00:00Z"],
            ["note keys: the key aaaaaaaa of a expires at 2026-12-21T00:00:00.000Z; inferq key rotate a"]
        ),
        (
            ["2026-12-21T00:00:00Z", "2027-12-21T00:00:00Z"],
            [
                "note keys: the key aaaaaaaa of a expires at 2026-12-21T00:00:00.000Z; the client has another key, which it "
                    + "should use by then"
            ]
        ),
        (
            ["2026-11-21T00:00:00Z", "2027-12-21T00:00:00Z"],
            ["note keys: the key aaaaaaaa of a has expired; remove it with inferq key revoke a aaaaaaaa"]
        ),
    ])
    func theEndOfAKeyIsTold(_ ends: [String], _ said: [String]) throws {
        let hashes = zip("ab", ends).map { KeySamples.hash($0, ", expires = \"\($1)\"") }.joined(separator: ", ")
        #expect(try findings(["keys.d/a.toml": "[keys.a]\nscopes = []\nhashes = [\(hashes)]\n"]) == said)
    }

    @Test
    func whatOthersMayReadIsWrong() throws {
        let folder = try SettingsFolder(["keys.d/a.toml": KeySamples.table("a", "a")])
        chmod("\(folder.keys)/a.toml", 0o644)
        chmod(folder.keys, 0o755)
        var settings = Settings()
        settings.access.keys = folder.keys
        let said = AccessExamination(settings).findings
        #expect(said.map(\.verdict) == [.wrong, .wrong])
        #expect(said.map { $0.sentence.contains("chmod 7") } == [true, false])
    }

    @Test
    func aBrokenFileIsWrong() throws {
        #expect(
            try findings(["keys.d/a.toml": "x = 1"]) == [
                "wrong keys: keys.d/a.toml: x: unknown key; only tables [keys.NAME] belong here; move it to inferq.toml or conf.d"
            ])
    }

    @Test
    func anOpenListenerIsTold() throws {
        let said = try findings([:]) { $0.listen = [.tcp(host: "0.0.0.0", port: 7), .tcp(host: "127.0.0.1", port: 8)] }
        #expect(said.count == 1 && said[0].hasPrefix("note access: everyone who reaches 0.0.0.0:7 may submit"))
        #expect(
            try findings([:]) {
                $0.listen = [.tcp(host: "0.0.0.0", port: 7)]
                $0.access.mode = .keys
            } == [])
    }

    @Test
    func theKernelsTableOfSocketsIsRead() {
        let table = """
              sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
               0: 0100007F:2124 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 55 1 0 100 0 0 10 0
               1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 56 1 0 100 0 0 10 0
               2: 0100007F:9999 0100007F:2124 01 00000000:00000000 00:00000000 00000000     0        0 57 1 0 100 0 0 10 0
            """
        let found = ListeningSockets.sockets(in: table)
        #expect(found.map(\.host) == ["127.0.0.1", "0.0.0.0"] && found.map(\.port) == [8484, 80])
        #expect(found.map(\.inode) == ["55", "56"])
        let six = "head\n 0: 00000000000000000000000001000000:1F90 0:0 0A 0:0 0:0 0 0 0 9 1\n"
        #expect(ListeningSockets.sockets(in: six).map(\.host) == ["::1"])
        #expect(
            ListeningSockets.sockets(in: "").isEmpty
                && ListeningSockets.sockets(in: "x\n0: Z:1 0 0A 0 0 0 0 0 9 1").isEmpty)
    }
}
