import Foundation
import InferqCore
import Testing

@testable import InferqHTTP

/// Requests with and without a right, through the responder.
struct GatewayAccessTests {
    private static let key = AccessKey()
    private static let reader = AccessKey()

    private static func with(_ body: @Sendable (TestGateway) async throws -> Void) async throws {
        var settings = AccessSettings()
        settings.mode = .keys
        settings.failures = Rate(count: 2, window: .seconds(3600))
        var full = Client("erp")
        full.keys = [Caller.Key(key.digest, expires: nil)]
        full.scopes = .all
        var reading = Client("screen")
        reading.keys = [Caller.Key(reader.digest, expires: nil)]
        reading.scopes = .read
        reading.limits.rate = Rate(count: 2, window: .seconds(3600))
        try await TestGateway.with(HTTPSettings(), settings, KeyRing([full, reading]), body)
    }

    private static func bearer(_ key: AccessKey) -> String { "Authorization: Bearer \(key.text)\r\n" }

    @Test(arguments: [
        "GET /v1/inference", "GET /nothing", "POST /v1/chat/completions", "PATCH /v1/inference", "GET /v1/me",
    ])
    func aStrangerHearsOneThing(_ line: String) async throws {
        try await Self.with { gateway in
            let answer = try await gateway.ask(line)
            #expect(answer.status == "401 Unauthorized")
            #expect(answer["WWW-Authenticate"] == "Bearer")
            #expect(answer["Connection"] == "close")
            #expect(answer.body.contains("key_missing"))
        }
    }

    @Test(arguments: ["GET /livez", "GET /readyz", "GET /", "GET /openapi.json", "OPTIONS /v1/inference"])
    func whatHoldsNoDataIsFree(_ line: String) async throws {
        try await Self.with { gateway in
            let answer = try await gateway.ask(line)
            #expect(answer.status.hasPrefix("20"))
            if line.hasSuffix("z") { #expect(answer.body == #"{"status":"UP"}"#) }
        }
    }

    @Test func theScopeComesAfterThePath() async throws {
        try await Self.with { gateway in
            #expect(try await gateway.ask("GET /nothing", Self.bearer(Self.key)).status.hasPrefix("404"))
            let answer = try await gateway.ask("GET /metrics", Self.bearer(Self.reader))
            #expect(answer.status.hasPrefix("403") && answer.body.contains("scope_missing"))
            #expect(try await gateway.ask("GET /metrics", Self.bearer(Self.key)).status.hasPrefix("200"))
        }
    }

    @Test func manyWrongKeysArePausedAndAGoodOneIsServed() async throws {
        try await Self.with { gateway in
            for _ in 0..<2 {
                let answer = try await gateway.ask("GET /v1/me", Self.bearer(AccessKey()))
                #expect(answer.status.hasPrefix("401") && answer.body.contains("key_invalid"))
            }
            let paused = try await gateway.ask("GET /v1/me", Self.bearer(AccessKey()))
            #expect(paused.status.hasPrefix("429") && paused.body.contains("too_many_failures"))
            #expect(paused["Retry-After"].flatMap { Int($0) }.map { (1...3600).contains($0) } == true)
            #expect(try await gateway.ask("GET /v1/me").status.hasPrefix("401"))
            #expect(try await gateway.ask("GET /v1/me", Self.bearer(Self.key)).status.hasPrefix("200"))
        }
    }

    @Test func aRateIsKept() async throws {
        try await Self.with { gateway in
            for _ in 0..<2 {
                #expect(try await gateway.ask("GET /v1/me", Self.bearer(Self.reader)).status.hasPrefix("200"))
            }
            let answer = try await gateway.ask("GET /v1/me", Self.bearer(Self.reader))
            #expect(answer.status.hasPrefix("429") && answer.body.contains("rate_limited"))
            #expect(answer["RateLimit-Policy"] == "\"requests\";q=2;w=3600")
            let pause = try #require(answer["Retry-After"].flatMap { Int($0) })
            #expect((1...1800).contains(pause))
            #expect(answer["RateLimit"] == "\"requests\";r=0;t=\(pause)")
        }
    }

    @Test func aUnixSocketIsACredentialAndAKeyOnItIsIgnored() async throws {
        try await Self.with { gateway in
            let me = try await gateway.ask("GET /v1/me", Self.bearer(AccessKey()), isLocal: true)
            #expect(me.status.hasPrefix("200") && me.body.contains(#""client":"local""#))
            #expect(try await gateway.ask("GET /v1/clients", isLocal: true).status.hasPrefix("403"))
            #expect(try await gateway.ask("HEAD /v1/store/backup", isLocal: true).status.hasPrefix("403"))
        }
    }

    @Test func aSessionStandsForItsKeyOnTheOwnPageAlone() async throws {
        try await Self.with { gateway in
            let json = "Content-Type: application/json\r\n"
            let bad = try await gateway.ask("POST /v1/session", json, body: #"{"key":"x"}"#)
            #expect(bad.status.hasPrefix("401"))
            let answer = try await gateway.ask("POST /v1/session", json, body: #"{"key":"\#(Self.key.text)"}"#)
            let cookie = try #require(answer["Set-Cookie"])
            #expect(cookie.hasPrefix("inferq=") && cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"))
            let pair = "Cookie: other=1; \(cookie.prefix { $0 != ";" })\r\n"
            for fields in [
                "", "Sec-Fetch-Site: same-origin\r\n", "Sec-Fetch-Site: none\r\n", "Origin: http://127.0.0.1\r\n",
            ] {
                #expect(try await gateway.ask("GET /v1/me", pair + fields).status.hasPrefix("200"))
            }
            for fields in ["Sec-Fetch-Site: cross-site\r\n", "Sec-Fetch-Site: same-site\r\n"] {
                #expect(try await gateway.ask("GET /v1/me", pair + fields).status.hasPrefix("401"))
            }
            #expect(try await gateway.ask("POST /v1/models/m/pause", pair).status.hasPrefix("401"))
            _ = try await gateway.ask("DELETE /v1/session", pair + "Sec-Fetch-Site: same-origin\r\n")
            #expect(try await gateway.ask("GET /v1/me", pair).status.hasPrefix("401"))
        }
    }
}
