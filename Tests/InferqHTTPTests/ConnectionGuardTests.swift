import NIOCore
import NIOEmbedded
import NIOHTTP1
import Testing

@testable import InferqHTTP

/// The guard in its place in a pipeline: what ``ConnectionState`` asks for is what the client gets.
struct ConnectionGuardTests {
    private let channel = EmbeddedChannel()

    init() throws {
        let decoder = RequestDecoder(limits: NIOHTTPDecoderLimitConfiguration())
        let connectionGuard = ConnectionGuard(
            connection: Connection(channel: channel, origin: .network(address: nil)), settings: HTTPSettings(),
            decoder: decoder
        )
        let pipeline = channel.pipeline.syncOperations
        try pipeline.addHandler(FirstByteWatch(connectionGuard: connectionGuard))
        try pipeline.addHandler(ByteToMessageHandler(decoder))
        try pipeline.addHandler(connectionGuard)
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
    }

    /// The heads that reach the routes.
    private func heads(of bytes: String) throws -> [HTTPRequestHead] {
        try channel.writeInbound(ByteBuffer(string: bytes))
        var heads: [HTTPRequestHead] = []
        while let part = try channel.readInbound(as: HTTPServerRequestPart.self) {
            if case .head(let head) = part { heads.append(head) }
        }
        return heads
    }

    /// What has gone to the client.
    private func written() throws -> String {
        var text = ""
        while let bytes = try channel.readOutbound(as: ByteBuffer.self) { text += String(buffer: bytes) }
        return text
    }

    private func answer(length: Int? = 0) throws {
        let head = ResponseHead(status: .ok, length: length)
        try channel.writeOutbound(AnswerPart(head: head, isEnd: true))
    }

    @Test
    func requestsAndAnswersGoThrough() throws {
        for path in ["/a", "/b"] {
            #expect(try heads(of: "GET \(path) HTTP/1.1\r\nHost: a\r\n\r\n").map(\.uri) == [path])
            try answer()
            #expect(try written() == "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        }
        #expect(channel.isActive)
    }

    @Test
    func aRefusalIsAProblemDocumentThatNamesThePath() throws {
        #expect(try heads(of: "GET /a?b HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").isEmpty)
        let text = try written()
        #expect(text.hasPrefix("HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\n"))
        #expect(text.contains("\r\nConnection: close\r\n"))
        #expect(text.contains(#""code":"malformed_http""#))
        #expect(text.contains(#""instance":"/a""#))
        #expect(throws: ChannelError.ioOnClosedChannel) { try answer() }
        #expect(try written().isEmpty)
    }

    @Test
    func whatCannotBeReadIsRefusedInOurForm() throws {
        #expect(throws: HTTPParserError.invalidMethod) { try heads(of: "FOO /a HTTP/1.1\r\nHost: a\r\n\r\n") }
        let text = try written()
        #expect(text.hasPrefix("HTTP/1.1 405 Method Not Allowed\r\n"))
        #expect(text.contains("\r\nAllow: "))
    }

    @Test
    func requestsAfterAnOfferToChangeTheProtocolAreRead() throws {
        let one = "GET /a HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
        #expect(try heads(of: one + one + one).count == 3)
    }

    @Test
    func theAnswerToAHeadRequestHasNoChunks() throws {
        #expect(try heads(of: "HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n").count == 1)
        try answer(length: nil)
        #expect(try written() == "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    }

    @Test
    func anAnswerOfHTTP10HasNoChunksAndSaysThatItIsTheLast() throws {
        #expect(try heads(of: "GET /a HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").first?.headers.isEmpty == true)
        try answer(length: nil)
        #expect(try written() == "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n")
    }

    @Test
    func aFloodBesideABodyClosesTheConnection() throws {
        #expect(try heads(of: "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").count == 1)
        let flood = "1;" + String(repeating: "x", count: 256 << 10)
        #expect(throws: HTTPParserError.invalidEOFState) { try heads(of: flood) }
        #expect(!channel.isActive)
    }

    @Test
    func aHalfCloseWithoutARequestClosesTheConnection() {
        channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        #expect(!channel.isActive)
    }
}
