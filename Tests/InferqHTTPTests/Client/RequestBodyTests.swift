import Foundation
import InferqCore
import InferqQueue
import InferqStore
import NIOCore
import NIOHTTP1
import Testing

@testable import InferqHTTP

/// What a client sends, and how a body that is made while it is sent can end.
struct RequestBodyTests {
    private struct SourceFailed: Error {}

    private static let piece = ByteBuffer(string: String(repeating: "x", count: 1 << 16))

    /// Answers with the heads and, where they have one, the lengths of what was sent.
    private static let telling: ScriptedServer.Script = { peer, _ in
        while let head = try await peer.head() {
            let length = head.split(separator: "\r\n").first { $0.hasPrefix("Content-Length: ") }
            let count = length.flatMap { Int($0.dropFirst(16)) } ?? 0
            let taken = count > 0 ? try await peer.bytes(upTo: count) : 0
            try await peer.answer("\(head)\r\n\r\n\(taken)")
        }
    }

    private func told(_ request: ClientRequest) async throws -> [String] {
        try await HTTPClient.withClient { client in
            let bytes = try await client.send(request).bytes(upTo: 1 << 16)
            return String(decoding: bytes, as: UTF8.self).components(separatedBy: "\r\n")
        }
    }

    @Test
    func bytesAreSentWithTheirLength() async throws {
        try await ScriptedServer.run(Self.telling) { address in
            let body = ClientRequest.Body.bytes(ByteBuffer(string: "hello"))
            let lines = try await told(ClientRequest(.PUT, "http://\(address)/x", headers: ["A": "b"], body: body))
            #expect(lines == ["PUT /x HTTP/1.1", "Host: \(address)", "A: b", "Content-Length: 5", "", "5"])
        }
    }

    @Test(
        arguments: [
            (.POST, ["Content-Length: 0"]), (.PUT, ["Content-Length: 0"]), (.GET, []), (.DELETE, []),
        ] as [(HTTPMethod, [String])])
    func noBodyIsNamedWhereOneIsUsual(_ method: HTTPMethod, _ fields: [String]) async throws {
        try await ScriptedServer.run(Self.telling) { address in
            let lines = try await told(ClientRequest(method, "http://\(address)"))
            #expect(lines == ["\(method.rawValue) / HTTP/1.1", "Host: \(address)"] + fields + ["", "0"])
        }
    }

    @Test
    func aBodyOfKnownLengthIsSentAsItIsMade() async throws {
        try await ScriptedServer.run(Self.telling) { address in
            let body = ClientRequest.Body.stream(length: 40 << 16) { write in
                for _ in 0..<40 { try await write(Self.piece) }
            }
            let lines = try await told(ClientRequest(.POST, "http://\(address)/", body: body))
            #expect(lines.last == "\(40 << 16)")
        }
    }

    @Test
    func aBodyOfUnknownLengthIsSentInChunks() async throws {
        try await ScriptedServer.run { peer, _ in
            let head = try await peer.head() ?? ""
            let body = try await peer.text(through: "0\r\n\r\n") ?? ""
            try await peer.answer("\(head)\r\n\r\n\(body)")
        } _: { address in
            let body = ClientRequest.Body.stream(length: nil) { write in
                try await write(ByteBuffer(string: "one"))
                try await write(ByteBuffer(string: " two"))
            }
            let lines = try await told(ClientRequest(.POST, "http://\(address)/", body: body))
            #expect(lines.dropFirst(2) == ["transfer-encoding: chunked", "", "3", "one", "4", " two", ""])
        }
    }

    @Test
    func aBodyThatIsRefusedIsNotSentToItsEnd() async throws {
        let answered = Bell()
        try await ScriptedServer.run { peer, _ in
            _ = try await peer.head()
            try await peer.answer("no", status: "413 Content Too Large")
            // It takes nothing more, and leaves the connection open.
            _ = await answered.wait()
        } _: { address in
            try await withClient { client in
                let body = ClientRequest.Body.stream(length: nil) { write in
                    while true { try await write(Self.piece) }
                }
                let answer = try await client.send(ClientRequest(.POST, "http://\(address)/", body: body))
                #expect(answer.status == 413)
                let told = try await answer.bytes(upTo: 9)
                #expect(told == Array("no".utf8))
                answered.ring(.event)
            }
        }
    }

    @Test
    func aSourceThatFailsEndsTheRequest() async throws {
        let closed = Bell()
        try await ScriptedServer.run { peer, _ in
            _ = try await peer.bytes()
            closed.ring(.hangUp)
        } _: { address in
            try await withClient { client in
                let body = ClientRequest.Body.stream(length: 9) { write in
                    try await write(ByteBuffer(string: "x"))
                    throw SourceFailed()
                }
                await #expect(throws: SourceFailed.self) {
                    try await client.send(ClientRequest(.POST, "http://\(address)/", body: body))
                }
                let rings = await closed.wait()
                #expect(rings == .hangUp)
            }
        }
    }

    @Test(arguments: [8, 10])
    func aBodyOfAnotherLengthThanAnnouncedEndsTheRequest(_ length: Int64) async throws {
        try await ScriptedServer.run { peer, _ in
            _ = try await peer.bytes()
        } _: { address in
            try await withClient { client in
                let body = ClientRequest.Body.stream(length: length) { write in
                    for _ in 0..<3 { try await write(ByteBuffer(string: "xxx")) }
                }
                let error = await #expect(throws: HTTPClientError.self) {
                    try await client.send(ClientRequest(.POST, "http://\(address)/", body: body))
                }
                guard case .bodyLengthChanged? = error else {
                    return #expect(Bool(false), "\(String(describing: error))")
                }
            }
        }
    }
}
