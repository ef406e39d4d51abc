import HTTPTypes
import NIOCore
import Testing

@testable import InferqHTTP

/// The bytes that a client gets, by parts of an answer as they are written.
struct AnswerEncoderTests {
    private func head(_ length: Int? = nil, _ fields: HTTPFields = [:]) -> ResponseHead {
        ResponseHead(status: .ok, fields: fields, length: length)
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
        let part = AnswerPart(head: head(2, [.eTag: "ä"]), body: body, isEnd: true)
        let (first, rest) = encoder.encode(part, ByteBufferAllocator())
        #expect(String(buffer: first) == "HTTP/1.1 200 OK\r\nETag: ä\r\nContent-Length: 2\r\n\r\n{}")
        #expect(rest.isEmpty)
    }

    @Test
    func aLargeBodyIsNotCopied() {
        var encoder = AnswerEncoder()
        let body = ByteBuffer(repeating: 65, count: 10_000)
        let whole = AnswerPart(head: head(10_000), body: body, isEnd: true)
        var encoded = encoder.encode(whole, ByteBufferAllocator())
        #expect(String(buffer: encoded.first) == "HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
        #expect(encoded.rest == [body])
        encoded = encoder.encode(AnswerPart(body: body), ByteBufferAllocator())
        #expect(encoded.first == body && encoded.rest.isEmpty)
        encoded = encoder.encode(AnswerPart(head: head(), body: body, isEnd: true), ByteBufferAllocator())
        #expect(String(buffer: encoded.first) == "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2710\r\n")
        #expect(encoded.rest == [body, ByteBuffer(string: "\r\n0\r\n\r\n")])
    }

    @Test
    func aBodyOfUnknownLengthGoesInChunks() {
        let start = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
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
        let last = encode(
            AnswerPart(head: head(), isEnd: true),
            AnswerPart(head: head(1), body: ByteBuffer(string: "x"), isEnd: true)
        )
        #expect(last[1] == "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
    }

    /// RFC 9112, section 6.3: these end with their heads.
    @Test(arguments: [HTTPResponse.Status.continue, .noContent, .notModified])
    func whatHasNoBodySaysNoLength(_ status: HTTPResponse.Status) {
        let text = "HTTP/1.1 \(status.code) \(status.reasonPhrase)\r\nETag: x\r\n\r\n"
        for length in [0, nil] {
            let head = ResponseHead(status: status, fields: [.eTag: "x"], length: length)
            #expect(encode(AnswerPart(head: head, isEnd: true)) == [text])
        }
    }

    @Test
    func withHTTP10ABodyEndsWithTheConnection() {
        let parts = encode(
            AnswerPart(head: ResponseHead(status: .ok, isHTTP10: true)), AnswerPart(body: ByteBuffer(string: "x")),
            AnswerPart(isEnd: true)
        )
        #expect(parts == ["HTTP/1.0 200 OK\r\n\r\n", "x", ""])
    }

    @Test
    func aStatusOfAModelServerKeepsItsReason() {
        let head = ResponseHead(status: HTTPResponse.Status(code: 520, reasonPhrase: "Odd"), length: 0)
        #expect(encode(AnswerPart(head: head, isEnd: true)) == ["HTTP/1.1 520 Odd\r\nContent-Length: 0\r\n\r\n"])
    }

    @Test
    func aLastAnswerSaysSo() {
        var head = ResponseHead(status: .ok, length: 0, isLast: true)
        let text = " 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        #expect(encode(AnswerPart(head: head, isEnd: true)) == ["HTTP/1.1\(text)"])
        head.isHTTP10 = true
        #expect(encode(AnswerPart(head: head, isEnd: true)) == ["HTTP/1.0\(text)"])
    }

    /// The size of a head is computed in advance: neither long fields nor large numbers are cut, or stop the program.
    @Test(arguments: [0, 1, 9, 10, 4095, 1 << 20, Int.max])
    func aHeadOfAnySizeIsWhole(_ size: Int) {
        let value = String(repeating: "ö", count: min(size, 1 << 16))
        let head = ResponseHead(
            status: HTTPResponse.Status(code: 999, reasonPhrase: String(repeating: "r", count: 300)),
            fields: [.location: value, .eTag: "", .server: value], length: size, isLast: true)
        let text = """
            HTTP/1.1 999 \(head.status.reasonPhrase)\r\nLocation: \(value)\r\nETag: \r\nServer: \(value)\r\n\
            Content-Length: \(size)\r\nConnection: close\r\n\r\n
            """
        #expect(encode(AnswerPart(head: head)) == [text])
    }
}
