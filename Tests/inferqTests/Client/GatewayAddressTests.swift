import Testing

@testable import inferq

struct GatewayAddressTests {
    @Test(arguments: [
        ("http://127.0.0.1:8484", "http://127.0.0.1:8484"), ("http://127.0.0.1:8484/", "http://127.0.0.1:8484"),
        ("HTTP://Gateway.example", "http://Gateway.example"), ("http://[::1]:8484", "http://[::1]:8484"),
        ("https://proxy.example/inferq//", "https://proxy.example/inferq"),
        ("http://localhost:80", "http://localhost:80"),
        ("unix:/run/inferq/inferq.sock", "unix:/run/inferq/inferq.sock"), ("unix:/tmp/a b%", "unix:/tmp/a b%"),
    ])
    func anAddressReadsBack(_ text: String, _ address: String) throws {
        #expect(try GatewayAddress(text).description == address)
    }

    @Test(arguments: [
        "", "127.0.0.1:8484", "localhost:8484", "http://", "http:/h", "http://h:0", "http://h:x", "http://h/?a=b",
        "http://h/#a", "http://u:p@h", "ftp://h", "http://a b", "http+unix://%2Frun%2Fx.sock", "unix:", "unix:x",
        "unix:/", "unix:/x/", "unix:///run/x", "unix:/x\u{0}", "unix:/" + String(repeating: "x", count: 107),
    ])
    func anythingElseIsNoAddress(_ text: String) {
        #expect(throws: Refusal.self) { try GatewayAddress(text) }
    }

    @Test(arguments: [
        ("http://h:1", "http://h:1/livez", "h:1"), ("https://h/a/", "https://h/a/livez", "h"),
        ("http://[::1]:1", "http://[::1]:1/livez", "[::1]:1"),
        ("unix:/run/é x.sock", "http+unix://%2Frun%2F%C3%A9%20x.sock/livez", "localhost"),
    ])
    func aPathIsAppended(_ text: String, _ url: String, _ host: String) throws {
        let address = try GatewayAddress(text)
        #expect(address.url("/livez") == url)
        #expect(address.host == host)
    }

    @Test
    func theFlagGoesBeforeTheVariableAndBothBeforeTheUsualOnes() throws {
        let flag = "http://flag:1"
        let variable = "unix:/variable"
        #expect(try GatewayAddress.candidates(flag: flag, variable: variable).map(\.description) == [flag])
        #expect(try GatewayAddress.candidates(flag: nil, variable: variable).map(\.description) == [variable])
        for empty in [nil, ""] {
            #expect(try GatewayAddress.candidates(flag: nil, variable: empty) == GatewayAddress.usual())
        }
    }

    @Test
    func rootAsksAtItsOwnSocketFirst() {
        let all = ["unix:/run/inferq/inferq.sock", "http://127.0.0.1:8484"]
        #expect(GatewayAddress.usual(isRoot: false).map(\.description) == all)
        #expect(
            GatewayAddress.usual(isRoot: true).map(\.description) == ["unix:/run/inferq/inferq-admin.sock"] + all)
    }

    @Test
    func aWrongAddressIsNamedByWhereItStands() {
        for (flag, variable, source) in [("x", nil, "--url"), (nil, "x", "INFERQ_URL"), ("", "unix:/x", "--url")] {
            let error = #expect(throws: ClientError.self) {
                try GatewayAddress.candidates(flag: flag, variable: variable)
            }
            #expect(error?.cause == .usage)
            #expect(error?.sentence.hasPrefix("\(source): ") == true)
        }
    }

    @Test(arguments: [("aZ09-._~", "aZ09-._~"), ("a b/c?&=%", "a%20b%2Fc%3F%26%3D%25"), ("é\n", "%C3%A9%0A")])
    func aNameIsEscapedForAURL(_ text: String, _ escaped: String) {
        #expect(text.percentEncoded == escaped)
    }
}
