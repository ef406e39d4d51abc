import InferqCore
import InferqQueue
import InferqStore
import Testing

@testable import InferqHTTP

/// Whole requests through the pipeline of a connection, from bytes to bytes.
@Suite(.timeLimit(.minutes(10)))
struct GatewayRequestTests {
    private static let nobody = "01935f2e-0000-7000-8000-000000000000"

    @Test
    func anAnswerIsWrittenByteForByte() async throws {
        try await TestGateway.with { (gateway) async throws in
            let received = try await gateway.exchange("GET /livez HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\n\r\n")
            let date = TestAnswer.date(in: received)
            #expect(
                received
                    == """
                    HTTP/1.1 200 OK\r
                    Content-Type: application/json\r
                    Cache-Control: no-store\r
                    Date: \(date)\r
                    Content-Length: 45\r
                    Connection: close\r
                    \r
                    {"status":"UP","version":"0","broker":"ring"}
                    """
            )
        }
    }

    @Test(arguments: [
        ("/v1/chat/completions", "\"error\":{\"message\":"), ("/v1/messages", "{\"type\":\"error\""),
        ("/api/chat", "{\"error\":\""), ("/upstream/m/api/chat", "{\"error\":\""),
        ("/v1/batches", "\"error\":{\"message\":"),
        ("/v1/inference", "\"code\":\"misdirected\""), ("/v1/nothing", "\"code\":\"misdirected\""),
        ("/nowhere", "\"code\":\"misdirected\""),
    ])
    func aStrangeHostIsToldInTheFormOfThePath(_ path: String, _ words: String) async throws {
        try await TestGateway.with { (gateway) async throws in
            let request =
                "POST \(path) HTTP/1.1\r\nHost: rebound.example\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            let answer = TestAnswer(try await gateway.exchange(request))
            #expect(answer.status == "421 Misdirected Request")
            #expect(answer.body.contains(words) && answer.body.contains("rebound.example"), "\(answer.body)")
        }
    }

    @Test(arguments: [
        ("/", "GET, HEAD, OPTIONS"), ("/livez", "GET, HEAD, OPTIONS"), ("/v1/inference", "GET, HEAD, OPTIONS, POST"),
        ("/v1/inference/x", "DELETE, GET, HEAD, OPTIONS"), ("/v1/inference/x/output", "GET, HEAD, OPTIONS, POST, PUT"),
        ("/v1/models/m/pause", "OPTIONS, POST"), ("/v1/events", "GET, HEAD, OPTIONS"),
        ("/v2/inference", "GET, HEAD, OPTIONS, POST"), ("/v2/inference/x", "DELETE, GET, HEAD, OPTIONS"),
    ])
    func everyPathSaysWhatItOffers(_ path: String, _ methods: String) async throws {
        try await TestGateway.with { (gateway) async throws in
            let options = try await gateway.ask("OPTIONS \(path)")
            #expect(options.status == "204 No Content")
            #expect(options["Allow"] == methods)
            let other = try await gateway.ask("PATCH \(path)")
            #expect(other.status == "405 Method Not Allowed")
            #expect(other["Allow"] == methods)
            #expect(other.body.contains("PATCH is not offered here, only \(methods)."))
        }
    }

    @Test
    func optionsOfTheWholeServerIsEmpty() async throws {
        try await TestGateway.with { (gateway) async throws in
            let answer = try await gateway.ask("OPTIONS *")
            #expect(answer.status == "204 No Content")
            #expect(answer["Allow"] == nil)
        }
    }

    @Test(arguments: ["/nothing", "/v1", "/%6Civez", "/livez%2F", "/v1/inference/x/nothing", "/livez/x"])
    func otherPathsAre404(_ path: String) async throws {
        try await TestGateway.with { (gateway) async throws in
            let answer = try await gateway.ask("GET \(path)?a=b")
            #expect(answer.status == "404 Not Found")
            #expect(
                answer.body == """
                    {"type":"urn:inferq:problem:no_such_path","title":"No such path","status":404,"detail":\
                    "There is nothing at \\"\(path)\\".","code":"no_such_path","instance":"\(path)"}
                    """
            )
            #expect(try await gateway.ask("OPTIONS \(path)x").status == "404 Not Found")
        }
    }

    @Test(arguments: ["//livez", "/livez/", "/livez//", "/health//livez", "http://127.0.0.1/livez", "/livez#top"])
    func slashesAndAnAbsoluteTargetMakeNoDifference(_ target: String) async throws {
        try await TestGateway.with { (gateway) async throws in
            let answer = try await gateway.ask("GET \(target)")
            #expect(answer.status == (target.contains("#") ? "404 Not Found" : "200 OK"))
        }
    }

    @Test
    func theQueryEndsAtAFragment() async throws {
        try await TestGateway.with { (gateway) async throws in
            #expect(try await gateway.ask("GET /v1/models?#top").status == "200 OK")
            #expect(try await gateway.ask("GET /v1/models?a#top").body.contains("query item a:"))
        }
    }

    @Test(arguments: ["/livez", "/v1/models", "/v1/events", "/openapi.json", "/v1/models/nobody", "/nothing"])
    func headIsGetWithoutABody(_ path: String) async throws {
        try await TestGateway.with { (gateway) async throws in
            gateway.gateway.queue.hub.stop()
            let head = try await gateway.ask("HEAD \(path)")
            let get = try await gateway.ask("GET \(path)")
            #expect(head.body.isEmpty)
            #expect(head.status == get.status)
            #expect(head.fields.map(\.name) == get.fields.map(\.name))
            #expect(head.fields.map(\.value) == get.fields.map(\.value))
        }
    }

    @Test(arguments: ["/v1/inference/nonsense", "/v1/inference/%20", "/v1/notifications/1"])
    func whatIsNoUUIDIs400(_ path: String) async throws {
        try await TestGateway.with { (gateway) async throws in
            #expect(try await gateway.ask("GET \(path)").body.contains("\"code\":\"invalid_id\""))
        }
    }

    @Test
    func aModelIsFoundByItsDecodedName() async throws {
        try await TestGateway.with { (gateway) async throws in
            #expect(try await gateway.ask("GET /v1/models/%6D").status == "200 OK")
            #expect(try await gateway.ask("POST /v1/models/m/pause").body.contains("\"state\":\"paused\""))
            #expect(try await gateway.ask("GET /v1/models/a%2Fb").body.contains("no model \\\"a/b\\\""))
        }
    }

    @Test
    func aSubmitIsStoredAndReadAgain() async throws {
        try await TestGateway.with { (gateway) async throws in
            let fields = "Content-Type: application/json\r\n"
            let answer = try await gateway.ask("POST /v1/async/inference", fields, body: #"{"model":"m","x":1}"#)
            #expect(answer.status == "202 Accepted")
            let place = try #require(answer["Location"])
            let record = try await gateway.ask("GET \(place)")
            #expect(record.status == "200 OK")
            #expect(record["ETag"]?.hasPrefix("W/") == true)
            #expect(try await gateway.ask("GET \(place)/input").body == #"{"model":"m","x":1}"#)
            #expect(try await gateway.ask("GET \(place)/output").status == "409 Conflict")
        }
    }

    @Test
    func aBodyInPiecesArrivesWhole() async throws {
        try await TestGateway.with { (gateway) async throws in
            let head = "POST /v1/async/inference?model=m HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            let chunks = "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
            let answer = TestAnswer(try await gateway.exchange(head + chunks))
            let place = try #require(answer["Location"])
            #expect(try await gateway.ask("GET \(place)/input").body == "hello world")
        }
    }

    @Test
    func requestsOfOneConnectionAreAnsweredInOrder() async throws {
        try await TestGateway.with { (gateway) async throws in
            let first = "GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"
            let second = "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            let received = try await gateway.exchange(first + second)
            let statuses = received.ranges(of: "HTTP/1.1 ").map { received[$0.upperBound...].prefix(3) }
            #expect(statuses == ["404", "200"])
        }
    }

    @Test
    func aConnectionPastTheLimitIsRefusedWhateverItAsks() async throws {
        try await TestGateway.with { (gateway) async throws in
            let request = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
            let answer = TestAnswer(try await gateway.exchange(request, isRefused: true))
            #expect(answer.status == "503 Service Unavailable")
            #expect(answer["Retry-After"] == "1")
            #expect(answer["Connection"] == "close")
        }
    }

    @Test
    func onlyAUnixSocketOffersTheStore() async throws {
        try await TestGateway.with { (gateway) async throws in
            let refused = try await gateway.ask("HEAD /v1/store/backup")
            #expect(refused.status == "403 Forbidden")
            let offered = try await gateway.ask("HEAD /v1/store/backup", isLocal: true)
            #expect(offered.status == "200 OK")
            #expect(offered["Content-Type"] == "application/x-tar")
        }
    }

    // MARK: What is counted

    @Test
    func answersAreCountedByTheirRoute() async throws {
        try await TestGateway.with { (gateway) async throws in
            _ = try await gateway.ask("GET /v1/inference/\(Self.nobody)")
            _ = try await gateway.ask("HEAD /v1/models")
            _ = try await gateway.ask("GET /nothing")
            _ = try await gateway.ask("PATCH /livez")
            _ = try await gateway.ask("OPTIONS /livez")
            _ = try await gateway.ask("GET /livez", "Origin: https://elsewhere.example\r\n")
            let counted = gateway.gateway.metrics.routes.compactMap { route in
                let counts = route.classes.map(\.reading.count)
                return counts.contains { $0 > 0 } ? "\(route.method) \(route.path) \(counts)" : nil
            }
            #expect(
                counted == [
                    "GET /v1/inference/{id} [0, 0, 0, 1, 0]", "HEAD /v1/models [0, 1, 0, 0, 0]",
                    "any none [0, 0, 0, 3, 0]",
                ]
            )
        }
    }

    // MARK: Pages of other origins

    @Test
    func aPageOfAnAllowedOriginMayAskAndReadErrors() async throws {
        var settings = HTTPSettings()
        settings.origins = ["https://app.example"]
        try await TestGateway.with(settings) { (gateway) async throws in
            let origin = "Origin: https://app.example\r\n"
            let asked = try await gateway.ask(
                "OPTIONS /v1/inference", origin + "Access-Control-Request-Method: POST\r\n")
            #expect(asked["Access-Control-Allow-Methods"] == "GET, HEAD, OPTIONS, POST")
            #expect(asked["Access-Control-Allow-Origin"] == "https://app.example")
            for path in ["/livez", "/nothing"] {
                let answer = try await gateway.ask("GET \(path)", origin)
                #expect(answer["Access-Control-Allow-Origin"] == "https://app.example")
                #expect(answer["Vary"] == "Origin")
            }
            #expect(try await gateway.ask("GET /livez", "Origin: https://b.example\r\n").status == "403 Forbidden")
        }
    }
}

extension TestAnswer {
    fileprivate static func date(in received: String) -> String {
        let line = received.split(separator: "\r\n").first { $0.lowercased().hasPrefix("date: ") }
        return line.map { String($0.dropFirst(6)) } ?? ""
    }
}
