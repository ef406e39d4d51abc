import Testing

@testable import InferqCore

struct KeyRingTests {
    @Test
    func aKeyFindsItsClient() throws {
        let (first, second, stranger) = (AccessKey().digest, AccessKey().digest, AccessKey().digest)
        var erp = Client("erp")
        erp.scopes = [.submit, .read]
        erp.keys = [Caller.Key(first, expires: nil), Caller.Key(second, expires: Timestamp(milliseconds: 5))]
        var page = Client("page")
        page.certificate = "spiffe://site.example/page"
        let ring = KeyRing([page, erp])
        #expect(ring.clients.map(\.name) == ["erp", "page"])
        for digest in [first, second] {
            let caller = try #require(ring.caller(with: digest))
            #expect(caller.client == "erp" && caller.scopes == [.submit, .read] && caller.key?.digest == digest)
            #expect(ring.caller(withKey: digest.id)?.key?.digest == digest)
        }
        #expect(ring.caller(with: stranger) == nil && ring.caller(withKey: "00000000x") == nil)
        let certified = ring.caller(certified: ["other", "spiffe://site.example/page"])
        #expect(certified?.client == "page" && certified?.key == nil)
        #expect(ring == KeyRing([erp, page]) && ring != KeyRing([erp]))
    }

    @Test(arguments: ["erp", "A", "0", "a.b_c-d", String(repeating: "x", count: 64)])
    func aClientMayHaveThisName(_ name: String) {
        #expect(ClientName.isValid(name))
    }

    @Test(arguments: [
        "", ".a", "-a", "_a", "a b", "a/b", "é", "a\n", String(repeating: "x", count: 65), "anonymous", "local",
        "admin",
    ])
    func aClientMayNotHaveThisName(_ name: String) {
        #expect(!ClientName.isValid(name))
    }

    @Test
    func aRateReadsBack() throws {
        for text in ["600/1m", "1/250ms", "30/1d"] { #expect(try #require(Rate(text)).text == text) }
        for text in ["", "600", "/1m", "0/1m", "-1/1m", "+1/1m", "1/0s", "1/m", "1/1m/1m", " 1/1m", "1.5/1m", "1/1m "] {
            #expect(Rate(text) == nil, "\(text)")
        }
    }

    @Test
    func scopesHaveTheirNames() {
        #expect(Scopes.all.names == ["submit", "read", "cancel", "read:all", "operate", "metrics"])
        #expect(Scopes(named: "*") == .all && Scopes(named: "Submit") == nil && Scopes(named: "") == nil)
    }
}
