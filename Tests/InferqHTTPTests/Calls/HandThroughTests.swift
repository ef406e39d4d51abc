import HTTPTypes
import InferqCore
import Logging
import NIOCore
import NIOEmbedded
import NIOHTTP1
import Synchronization
import TestSupport
import Testing

@testable import InferqHTTP

/// Requests that pass to a model server at once, and their answers.
@Suite(.timeLimit(.minutes(10)))
struct HandThroughTests {
    /// What a client gets: the head, and the body as far as it came.
    private struct Got: Sendable {
        var status = 0
        var headers = HTTPFields()
        var length: Int?
        var body = ""
        /// Whether the body came to its end.
        var isWhole = true
    }

    private final class Box: Sendable {
        let value = Mutex(Got())
    }

    private func model(_ url: String, _ dialect: Dialect = .none) -> ModelSettings {
        var model = ModelSettings(name: "m", url: url)
        model.dialect = dialect
        return model
    }

    /// Passes a request on to a model, at `/upstream/m` and what follows in `target`.
    private func ask(
        _ method: HTTPMethod = .GET, _ target: String = "/x", _ fields: HTTPHeaders = [:], body: String = "",
        of model: ModelSettings
    ) async throws -> Got {
        let got = Box()
        try await TestGateway.with { (gateway) async throws in
            let channel = NIOAsyncTestingChannel()
            try await channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).get()
            let head = HTTPRequestHead(version: .http1_1, method: method, uri: "/upstream/m" + target, headers: fields)
            let request = try #require(Request(head, .whole(ByteBuffer(string: body))))
            let context = GatewayContext(
                connection: Connection(channel: channel, origin: .network(address: nil)), caller: .anonymous,
                settings: HTTPSettings(),
                parameters: PathParameters(),
                logger: Logger(label: "test")
            )
            let found = try #require(try CallTable([model]).find(request.method, request.path, query: request.query))
            let response = try await HandThrough(gateway: gateway.gateway).answer(request, found, context)
            var result = Got(status: response.status.code, headers: response.headers, length: response.length)
            switch response.body {
            case .none: break
            case .bytes(let bytes): result.body = String(buffer: bytes)
            case .pieces(_, let write):
                do { try await write() } catch { result.isWhole = false }
                while let part = try await channel.readOutbound(as: AnswerPart.self) {
                    if let bytes = part.body { result.body += String(buffer: bytes) }
                }
            }
            got.value.withLock { $0 = result }
            _ = try? await channel.finish(acceptAlreadyClosed: true)
        }
        return got.value.withLock { $0 }
    }

    /// The code of the error that it is refused with.
    private func refusal(_ method: HTTPMethod = .GET, _ fields: HTTPHeaders = [:], of model: ModelSettings) async throws
        -> APIError?
    {
        do {
            _ = try await ask(method, "/x", fields, of: model)
            return nil
        } catch let error as APIError {
            return error
        }
    }

    @Test
    func aRequestReachesTheServerAsItCame() async throws {
        try await ScriptedServer.run { peer, _ in
            while let head = try await peer.head() { try await peer.answer(head) }
        } _: { address in
            var model = model("http://\(address)/base", .openai)
            model.headers = [HeaderSetting(name: "Authorization", value: "Bearer key")]
            let got = try await ask(
                .GET, "/v1/a|b%2F?x=%zz&y",
                ["X-A": "1", "Authorization": "client", "Cookie": "c", "Accept-Encoding": "gzip", "traceparent": "t"],
                of: model
            )
            #expect(
                got.body == """
                    GET /base/v1/a|b%2F?x=%zz&y HTTP/1.1\r
                    Host: \(address)\r
                    X-A: 1\r
                    Authorization: Bearer key\r
                    Accept-Encoding: identity\r
                    traceparent: t
                    """
            )
        }
    }

    @Test
    func anAnswerOfAnyStatusPasses() async throws {
        for status in [200, 201, 204, 206, 304, 400, 401, 404, 409, 418, 429, 500, 503, 599] {
            try await ScriptedServer.run { peer, _ in
                _ = try await peer.head()
                try await peer.send(
                    "HTTP/1.1 \(status) X\r\nX-A: 1\r\nContent-Type: a/b\r\nX-A: 2\r\nContent-Length: 0\r\nKeep-Alive: x\r\n\r\n"
                )
            } _: { address in
                let got = try await ask(of: model("http://\(address)/"))
                #expect(got.status == status)
                #expect(got.headers[values: HTTPField.Name("X-A") ?? .accept] == ["1", "2"])
                #expect(got.headers[.contentType] == "a/b")
                #expect(got.headers[HTTPField.Name("Keep-Alive") ?? .accept] == nil)
            }
        }
    }

    @Test
    func aHeadTellsTheLengthOfTheBody() async throws {
        try await ScriptedServer.run { peer, _ in
            let head = try await peer.head() ?? ""
            try await peer.send("HTTP/1.1 200 OK\r\nX-Line: \(head.prefix(8))\r\nContent-Length: 99999999\r\n\r\n")
        } _: { address in
            let got = try await ask(.HEAD, of: model("http://\(address)/"))
            #expect(got.length == 99_999_999)
            #expect(got.headers[HTTPField.Name("X-Line") ?? .accept] == "HEAD /x")
        }
    }

    @Test
    func aBodyPassesThere() async throws {
        try await ScriptedServer.run { peer, _ in
            let head = try await peer.head() ?? ""
            let body = try await peer.text(through: "}") ?? ""
            let lines = head.split(separator: "\r\n").filter { $0.lowercased().hasPrefix("content") }.sorted()
            try await peer.answer("\(head.prefix(6)) \(lines) \(body)")
        } _: { address in
            var model = model("http://\(address)/")
            model.direct = ["DELETE /x"]
            let got = try await ask(.DELETE, "/x", ["Content-Type": "application/json"], body: "{\"a\":1}", of: model)
            #expect(got.body == #"DELETE ["Content-Length: 7", "Content-Type: application/json"] {"a":1"#)
        }
    }

    @Test
    func aBodyThatTakesTimeIsPassedAsItComes() async throws {
        try await ScriptedServer.run { peer, _ in
            _ = try await peer.head()
            try await peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
            // The head is handed over before the rest comes.
            for _ in 0..<1000 { await Task.yield() }
            try await peer.send("3\r\ndef\r\n0\r\n\r\n")
        } _: { address in
            let got = try await ask(of: model("http://\(address)/"))
            #expect(got.body == "abcdef")
            #expect(got.isWhole)
            #expect(got.length == nil || got.length == 6)
        }
    }

    @Test(arguments: [301, 302, 303, 307, 308])
    func aRedirectIsNotFollowed(_ status: Int) async throws {
        try await ScriptedServer.run { peer, _ in
            _ = try await peer.head()
            try await peer.send("HTTP/1.1 \(status) X\r\nLocation: http://other/y\r\nContent-Length: 0\r\n\r\n")
        } _: { address in
            let error = try #require(try await refusal(of: model("http://\(address)/")))
            #expect(error.code == .httpError)
            #expect(error.status.code == 502)
            #expect(error.detail.contains("status \(status), a redirect to http://other/y, which is not followed"))
        }
    }

    @Test
    func aServerThatIsAwayIs502() async throws {
        for url in ["http://127.0.0.1:1/", "http+unix://%2Fnowhere%2Fx.sock/", ""] {
            let error = try #require(try await refusal(of: model(url)))
            #expect(error.code == .connectFailed)
            #expect(error.status.code == 502)
        }
    }

    @Test(arguments: [
        "", "nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Le",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    ])
    func whatIsNoAnswerIs502(_ text: String) async throws {
        try await ScriptedServer.run { peer, _ in
            _ = try await peer.head()
            try await peer.send(text)
        } _: { address in
            let error = try #require(try await refusal(of: model("http://\(address)/")))
            #expect([.badResponse, .connectFailed].contains(error.code))
            #expect(error.status.code == 502)
        }
    }

    @Test
    func anAnswerThatIsCutIsNotEnded() async throws {
        try await ScriptedServer.run { peer, _ in
            _ = try await peer.head()
            try await peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
            for _ in 0..<1000 { await Task.yield() }
        } _: { address in
            do {
                let got = try await ask(of: model("http://\(address)/"))
                #expect(!got.isWhole)
                #expect(got.length == 10)
            } catch let error as APIError {
                #expect(error.code == .badResponse)
            }
        }
    }

    @Test
    func anAnswerHasABound() async throws {
        try await ScriptedServer.run { peer, _ in
            _ = try await peer.head()
            try await peer.send("HTTP/1.1 200 OK\r\nContent-Length: \((16 << 20) + 1)\r\n\r\n")
            _ = try await peer.bytes()
        } _: { address in
            let error = try #require(try await refusal(of: model("http://\(address)/")))
            #expect(error.code == .answerTooLarge)
        }
        try await ScriptedServer.run { peer, _ in
            _ = try await peer.head()
            try await peer.send("HTTP/1.1 200 OK\r\n\r\n")
            let piece = String(repeating: "x", count: 1 << 20)
            for _ in 0..<17 { try await peer.send(piece) }
            _ = try await peer.bytes()
        } _: { address in
            let got = try await ask(of: model("http://\(address)/"))
            let (isWhole, byteCount) = (got.isWhole, got.body.utf8.count)
            #expect(!isWhole)
            #expect(byteCount <= 16 << 20)
        }
    }

    @Test
    func theFieldsOfAnAnswerHaveABound() async throws {
        try await ScriptedServer.run { peer, _ in
            _ = try await peer.head()
            try await peer.send(
                "HTTP/1.1 200 OK\r\nX-A: \(String(repeating: "x", count: 17 << 10))\r\nContent-Length: 0\r\n\r\n")
        } _: { address in
            let error = try #require(try await refusal(of: model("http://\(address)/")))
            #expect(error.code == .badResponse)
        }
    }

    @Test
    func theFieldsOfARequestHaveABound() async throws {
        let error = try #require(
            try await refusal(.GET, ["X-A": String(repeating: "x", count: 9 << 10)], of: model("http://127.0.0.1:1/")))
        #expect(error.status.code == 431)
    }

    @Test
    func aUnixSocketIsReached() async throws {
        let folder = try TemporaryFolder()
        defer { withExtendedLifetime(folder) {} }
        let path = folder.path + "/s"
        try await ScriptedServer.run(at: .unix(path: path)) { peer, _ in
            let head = try await peer.head() ?? ""
            try await peer.answer(String(head.split(separator: "\r\n").first ?? ""))
        } _: { _ in
            let url = "http+unix://\(path.replacing("/", with: "%2F"))"
            let plain = try await ask(.GET, "/y?z", of: model(url + "/predict"))
            #expect(plain.body == "GET /y?z HTTP/1.1")
            let rooted = try await ask(.GET, "/y?z", of: model(url + "/base", .openai))
            #expect(rooted.body == "GET /base/y?z HTTP/1.1")
        }
    }
}
