import Glibc
import InferqCore
import InferqQueue
import InferqStore
import NIOCore
import NIOHTTP1
import TestSupport
import Testing

@testable import InferqHTTP

struct HTTPClientTests {
    /// Answers each request with the number of its connection.
    private static let numbering: ScriptedServer.Script = { peer, number in
        while try await peer.head() != nil { try await peer.answer("\(number)") }
    }

    private func text(_ answer: ClientAnswer) async throws -> String {
        String(decoding: try await answer.bytes(upTo: 1 << 20), as: UTF8.self)
    }

    private func get(_ url: String, with client: HTTPClient) async throws -> String {
        try await text(client.send(ClientRequest(.GET, url)))
    }

    // MARK: Connections

    @Test
    func requestsInTurnShareAConnection() async throws {
        try await ScriptedServer.run(Self.numbering) { address in
            try await withClient { client in
                for _ in 0..<3 {
                    let answer = try await get("http://\(address)/", with: client)
                    #expect(answer == "1")
                }
            }
        }
    }

    @Test
    func aPostGoesOutOnANewConnection() async throws {
        try await ScriptedServer.run(Self.numbering) { address in
            try await withClient { client in
                let told = try await get("http://\(address)/", with: client)
                #expect(told == "1")
                let request = ClientRequest(.POST, "http://\(address)/", body: .bytes(ByteBuffer()))
                let again = try await text(client.send(request))
                #expect(again == "2")
            }
        }
    }

    @Test
    func aRequestThatMeetsAClosedConnectionIsSentOnceMore() async throws {
        try await ScriptedServer.run { peer, number in
            guard try await peer.head() != nil else { return }
            try await peer.answer("\(number)")
            // It counts as kept until the next request is there.
            _ = try await peer.head()
        } _: { address in
            try await withClient { client in
                let told = try await get("http://\(address)/", with: client)
                #expect(told == "1")
                let again = try await get("http://\(address)/", with: client)
                #expect(again == "2")
            }
        }
    }

    @Test
    func aNewConnectionThatEndsBeforeAnAnswerIsAnError() async throws {
        try await ScriptedServer.run { peer, _ in
            _ = try await peer.head()
        } _: { address in
            try await withClient { client in
                let error = await #expect(throws: HTTPClientError.self) {
                    try await get("http://\(address)/", with: client)
                }
                guard case .closedEarly? = error else { return #expect(Bool(false), "\(String(describing: error))") }
            }
        }
    }

    @Test
    func aConnectionWhoseAnswerSaysCloseIsNotUsedAgain() async throws {
        try await ScriptedServer.run { peer, number in
            _ = try await peer.head()
            try await peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n\(number)")
            _ = try await peer.head()
        } _: { address in
            try await withClient { client in
                for number in 1...3 {
                    let answer = try await get("http://\(address)/", with: client)
                    #expect(answer == "\(number)")
                }
            }
        }
    }

    @Test(arguments: ["204 No Content", "304 Not Modified"])
    func aConnectionWhoseAnswerAnnouncesABodyThatItCannotHaveIsNotUsedAgain(_ status: String) async throws {
        try await ScriptedServer.run { peer, number in
            while try await peer.head() != nil {
                try await peer.send("HTTP/1.1 \(status)\r\nContent-Length: 4\r\nX-Number: \(number)\r\n\r\n")
            }
        } _: { address in
            try await withClient { client in
                for number in 1...3 {
                    let answer = try await client.send(ClientRequest(.GET, "http://\(address)/"))
                    #expect(answer.headers.first(name: "X-Number") == "\(number)")
                }
            }
        }
    }

    @Test
    func aUnixSocketIsNamedInTheURL() async throws {
        let folder = try TemporaryFolder()
        defer { withExtendedLifetime(folder) {} }
        let path = folder.path + "/s"
        try await ScriptedServer.run(at: .unix(path: path)) { peer, _ in
            guard let head = try await peer.head() else { return }
            try await peer.answer(head)
        } _: { _ in
            try await withClient { client in
                let url = "http+unix://\(path.replacing("/", with: "%2F"))/a?b=c"
                let told = try await get(url, with: client)
                #expect(told == "GET /a?b=c HTTP/1.1\r\nHost: localhost")
            }
        }
    }

    @Test
    func nobodyAtAnAddressIsNoConnection() async throws {
        try await withClient { client in
            // tcpmux, which no one has served for decades: a port that was free before may be another test's by now.
            let error = await #expect(throws: HTTPClientError.self) {
                try await get("http://127.0.0.1:1/", with: client)
            }
            guard case .noConnection(let reason)? = error, let system = reason as? IOError else {
                return #expect(Bool(false), "\(String(describing: error))")
            }
            #expect(system.errnoCode == ECONNREFUSED)
        }
    }

    @Test(arguments: ["", "ftp://127.0.0.1/", "127.0.0.1:80", "http:///x"])
    func whatIsNoURLOfAServerIsNotCalled(_ url: String) async throws {
        try await withClient { client in
            let error = await #expect(throws: HTTPClientError.self) { try await get(url, with: client) }
            guard case .unreadableURL? = error else { return #expect(Bool(false), "\(String(describing: error))") }
        }
    }

    // MARK: Answers

    @Test
    func anAnswerInChunksIsReadAsItComes() async throws {
        let read = Bell()
        try await ScriptedServer.run { peer, _ in
            _ = try await peer.head()
            try await peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for chunk in ["3\r\none\r\n", "4\r\n two\r\n", "0\r\n\r\n"] {
                _ = await read.wait()
                try await peer.send(chunk)
            }
        } _: { address in
            try await withClient { client in
                let answer = try await client.send(ClientRequest(.GET, "http://\(address)/"))
                read.ring(.event)
                var text = ""
                try await answer.read { piece in
                    text += String(buffer: piece)
                    read.ring(.event)
                    return true
                }
                #expect(text == "one two")
            }
        }
    }

    @Test
    func anAnswerWithoutALengthEndsWithItsConnection() async throws {
        try await ScriptedServer.run { peer, _ in
            _ = try await peer.head()
            try await peer.send("HTTP/1.0 200 OK\r\n\r\nall of it")
        } _: { address in
            try await withClient { client in
                let told = try await get("http://\(address)/", with: client)
                #expect(told == "all of it")
            }
        }
    }

    @Test(arguments: ["Content-Length: 9", "Transfer-Encoding: chunked"])
    func anAnswerThatIsCutOffIsAnError(_ framing: String) async throws {
        try await ScriptedServer.run { peer, _ in
            _ = try await peer.head()
            try await peer.send("HTTP/1.1 200 OK\r\n\(framing)\r\n\r\n3\r\n")
        } _: { address in
            try await withClient { client in
                let error = await #expect(throws: HTTPClientError.self) {
                    try await get("http://\(address)/", with: client)
                }
                guard case .cutOff? = error else {
                    Issue.record("\(String(describing: error))")
                    return
                }
            }
        }
    }

    @Test
    func aLargeAnswerComesWholeAndIsBounded() async throws {
        let line = String(repeating: "x", count: 1 << 20)
        try await ScriptedServer.run { peer, _ in
            while try await peer.head() != nil {
                try await peer.send("HTTP/1.1 200 OK\r\nContent-Length: \(8 << 20)\r\n\r\n")
                for _ in 0..<8 { try await peer.send(line) }
            }
        } _: { address in
            try await withClient { client in
                let request = ClientRequest(.GET, "http://\(address)/")
                let told = try await client.send(request).bytes(upTo: 8 << 20).count
                #expect(told == 8 << 20)
                await #expect(throws: HTTPClientError.self) {
                    try await client.send(request).bytes(upTo: 8 << 20 - 1)
                }
            }
        }
    }

    @Test
    func whoHasReadEnoughClosesTheConnection() async throws {
        let closed = Bell()
        try await ScriptedServer.run { peer, _ in
            _ = try await peer.head()
            try await peer.send("HTTP/1.1 200 OK\r\n\r\nbeginning")
            _ = try await peer.head()
            closed.ring(.hangUp)
        } _: { address in
            try await withClient { client in
                try await client.send(ClientRequest(.GET, "http://\(address)/")).read { _ in false }
                let rings = await closed.wait()
                #expect(rings == .hangUp)
            }
        }
    }

    // MARK: Limits of time, cancellation

    @Test
    func aRequestEndsWithItsTime() async throws {
        try await ScriptedServer.run { peer, _ in
            _ = try await peer.bytes()
        } _: { address in
            try await withClient { client in
                let error = await #expect(throws: HTTPClientError.self) {
                    try await client.send(ClientRequest(.GET, "http://\(address)/"), within: .milliseconds(20))
                }
                guard case .timedOut? = error else { return #expect(Bool(false), "\(String(describing: error))") }
            }
        }
    }

    @Test
    func anAnswerEndsWithItsTime() async throws {
        try await ScriptedServer.run { peer, _ in
            _ = try await peer.head()
            try await peer.send("HTTP/1.1 200 OK\r\n\r\nbeginning")
            _ = try await peer.bytes()
        } _: { address in
            try await withClient { client in
                let error = await #expect(throws: HTTPClientError.self) {
                    let request = ClientRequest(.GET, "http://\(address)/")
                    return try await client.send(request, within: .milliseconds(200)).bytes(upTo: 99)
                }
                guard case .timedOut? = error else { return #expect(Bool(false), "\(String(describing: error))") }
            }
        }
    }

    @Test(arguments: ["", "HTTP/1.1 200 OK\r\n\r\nbeginning"])
    func anAnswerMayNotStandStill(_ beginning: String) async throws {
        try await ScriptedServer.run { peer, _ in
            _ = try await peer.head()
            try await peer.send(beginning)
            _ = try await peer.bytes()
        } _: { address in
            try await withClient(silence: .milliseconds(20)) { client in
                let error = await #expect(throws: HTTPClientError.self) {
                    try await get("http://\(address)/", with: client)
                }
                guard case .silent? = error else { return #expect(Bool(false), "\(String(describing: error))") }
            }
        }
    }

    @Test(arguments: ["", "HTTP/1.1 200 OK\r\n\r\nbeginning"])
    func aTaskThatIsCancelledClosesTheConnection(_ beginning: String) async throws {
        let called = Bell()
        let closed = Bell()
        try await ScriptedServer.run { peer, _ in
            _ = try await peer.head()
            try await peer.send(beginning)
            called.ring(.event)
            // The close is a reset when the client had not read all that was sent.
            _ = try? await peer.bytes()
            closed.ring(.hangUp)
        } _: { address in
            let client = HTTPClient()
            let isCancelled = await withTaskGroup(of: Bool.self) { group in
                group.addTask {
                    do {
                        _ = try await get("http://\(address)/", with: client)
                        return false
                    } catch {
                        return error is CancellationError
                    }
                }
                _ = await called.wait()
                group.cancelAll()
                return await group.next() ?? false
            }
            #expect(isCancelled)
            let rings = await closed.wait()
            #expect(rings == .hangUp)
            try await client.shutdown()
        }
    }
}
