import NIOCore
import NIOHTTP1
import Testing

@testable import InferqHTTP

/// The bytes that a client gets, by parts of an answer as they are written.
struct AnswerEncoderTests {
    private func head(
        _ fields: HTTPHeaders = [:], _ status: HTTPResponseStatus = .ok, _ version: HTTPVersion = .http1_1
    ) -> HTTPResponseHead {
        HTTPResponseHead(version: version, status: status, headers: fields)
    }

    private func encode(_ parts: AnswerPart...) -> [String] {
        encode(parts)
    }

    private func encode(_ parts: [AnswerPart]) -> [String] {
        var encoder = AnswerEncoder()
        return parts.map { part in
            let (first, rest) = encoder.encode(part, ByteBufferAllocator())
            return ([first] + rest).map { String(buffer: $0) }.joined()
        }
    }

    @Test
    func aWholeAnswerIsOneBuffer() {
        var encoder = AnswerEncoder()
        let body = ByteBuffer(string: "{}")
        let part = AnswerPart(head: head(["content-length": "2", "a": "ä"]), body: body, isEnd: true)
        let (first, rest) = encoder.encode(part, ByteBufferAllocator())
        #expect(String(buffer: first) == "HTTP/1.1 200 OK\r\ncontent-length: 2\r\na: ä\r\n\r\n{}")
        #expect(rest.isEmpty)
    }

    @Test
    func aLargeBodyIsNotCopied() {
        var encoder = AnswerEncoder()
        let body = ByteBuffer(repeating: 65, count: 10_000)
        let whole = AnswerPart(head: head(["content-length": "10000"]), body: body, isEnd: true)
        var encoded = encoder.encode(whole, ByteBufferAllocator())
        #expect(String(buffer: encoded.first) == "HTTP/1.1 200 OK\r\ncontent-length: 10000\r\n\r\n")
        #expect(encoded.rest == [body])
        encoded = encoder.encode(AnswerPart(body: body), ByteBufferAllocator())
        #expect(encoded.first == body && encoded.rest.isEmpty)
        encoded = encoder.encode(AnswerPart(head: head(), body: body, isEnd: true), ByteBufferAllocator())
        #expect(String(buffer: encoded.first) == "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2710\r\n")
        #expect(encoded.rest == [body, ByteBuffer(string: "\r\n0\r\n\r\n")])
    }

    @Test
    func aBodyOfUnknownLengthGoesInChunks() {
        let start = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        let text = ByteBuffer(string: "0123456789abcdef+")
        let parts = [
            AnswerPart(head: head()), AnswerPart(body: text), AnswerPart(body: ByteBuffer()), AnswerPart(isEnd: true),
        ]
        #expect(encode(parts) == [start, "11\r\n0123456789abcdef+\r\n", "", "0\r\n\r\n"])
        #expect(
            encode(AnswerPart(head: head(), body: text), AnswerPart(body: text, isEnd: true)) == [
                start + "11\r\n0123456789abcdef+\r\n", "11\r\n0123456789abcdef+\r\n0\r\n\r\n",
            ])
    }

    @Test
    func theNextAnswerIsFramedByItsOwnHead() {
        let fields: HTTPHeaders = ["content-length": "1", "transfer-encoding": "chunked"]
        let last = encode(
            AnswerPart(head: head(), isEnd: true),
            AnswerPart(head: head(fields), body: ByteBuffer(string: "x"), isEnd: true)
        )
        #expect(last[1] == "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx")
    }

    /// RFC 9112, section 6.3: these end with their heads.
    @Test(arguments: [HTTPResponseStatus.continue, .noContent, .notModified])
    func whatHasNoBodySaysNoLength(_ status: HTTPResponseStatus) {
        let fields: HTTPHeaders = ["content-length": "0", "etag": "x"]
        let text = "HTTP/1.1 \(status.code) \(status.reasonPhrase)\r\netag: x\r\n\r\n"
        #expect(encode(AnswerPart(head: head(fields, status), isEnd: true)) == [text])
    }

    @Test
    func withHTTP10ABodyEndsWithTheConnection() {
        let parts = encode(
            AnswerPart(head: head([:], .ok, .http1_0)), AnswerPart(body: ByteBuffer(string: "x")),
            AnswerPart(isEnd: true)
        )
        #expect(parts == ["HTTP/1.0 200 OK\r\n\r\n", "x", ""])
    }

    @Test
    func aStatusOfAModelServerKeepsItsReason() {
        let status = HTTPResponseStatus.custom(code: 520, reasonPhrase: "Odd")
        #expect(
            encode(AnswerPart(head: head(["content-length": "0"], status), isEnd: true))
                == ["HTTP/1.1 520 Odd\r\ncontent-length: 0\r\n\r\n"])
    }
}
