import NIOCore
import NIOHTTP1

/// What is written of an answer at a time: its head, bytes of its body, its end, or several of these in that order.
struct AnswerPart: Sendable {
    var head: HTTPResponseHead?
    var body: ByteBuffer?
    var isEnd = false
}

/// Puts answers into the form of HTTP/1.1 (RFC 9112, sections 4 to 7).
///
/// NIO's encoder writes head, body and end one by one, and a chunk in three buffers with a promise each. A small answer and
/// a chunk are one buffer here, which goes through the pipeline once.
struct AnswerEncoder {
    /// Whether the body of the answer goes out in chunks.
    private var isChunked = false

    /// Bodies up to this size are copied behind their head: that costs less than a buffer more.
    private static let copyLimit = 4096
    /// The length of a chunk in hexadecimal, four line ends, and the last chunk.
    private static let framing = 32

    /// - Returns: what goes out for one part, in this order; a large body is not copied, and stands in `rest`.
    mutating func encode(
        _ part: AnswerPart, _ allocator: ByteBufferAllocator
    ) -> (first: ByteBuffer, rest: [ByteBuffer]) {
        let body = part.body ?? ByteBuffer()
        let copies = body.readableBytes <= Self.copyLimit
        // A piece of a large body of known length needs nothing around it.
        if part.head == nil, !isChunked, !copies { return (body, []) }
        let headLength = part.head.map(Self.length) ?? 0
        var bytes = allocator.buffer(capacity: headLength + Self.framing + (copies ? body.readableBytes : 0))
        if var head = part.head {
            frame(&head)
            bytes.write(head)
        }
        // An empty chunk would be the last one.
        let isChunk = isChunked && body.readableBytes > 0
        if isChunk {
            bytes.writeString(String(body.readableBytes, radix: 16))
            bytes.writeStaticString("\r\n")
        }
        if copies {
            bytes.writeImmutableBuffer(body)
            Self.end(&bytes, afterChunk: isChunk, isLast: isChunked && part.isEnd)
            return (bytes, [])
        }
        guard isChunked else { return (bytes, [body]) }
        var trailer = allocator.buffer(capacity: Self.framing)
        Self.end(&trailer, afterChunk: isChunk, isLast: part.isEnd)
        return (bytes, [body, trailer])
    }

    /// Bytes of a head, or a few more.
    private static func length(of head: HTTPResponseHead) -> Int {
        head.headers.reduce(64 + head.status.reasonPhrase.utf8.count) {
            $0 + $1.name.utf8.count + $1.value.utf8.count + 4
        }
    }

    private static func end(_ bytes: inout ByteBuffer, afterChunk isChunk: Bool, isLast: Bool) {
        if isChunk { bytes.writeStaticString("\r\n") }
        if isLast { bytes.writeStaticString("0\r\n\r\n") }
    }

    /// How the client finds the end of the body: by its length, by the last chunk, or, in HTTP/1.0, by the end of the
    /// connection (RFC 9112, section 6.3).
    private mutating func frame(_ head: inout HTTPResponseHead) {
        isChunked = false
        guard head.status.mayHaveResponseBody else {
            head.headers.remove(name: "content-length")
            head.headers.remove(name: "transfer-encoding")
            return
        }
        if head.headers.contains(name: "content-length") {
            head.headers.remove(name: "transfer-encoding")
        } else if head.version != .http1_0 {
            head.headers.replaceOrAdd(name: "transfer-encoding", value: "chunked")
            isChunked = true
        }
    }
}

extension ByteBuffer {
    /// The types of its fields admit no line ends (``HTTPTypes/HTTPField``), so nothing is looked at here.
    fileprivate mutating func write(_ head: HTTPResponseHead) {
        writeStaticString(head.version == .http1_0 ? "HTTP/1.0 " : "HTTP/1.1 ")
        writeString(String(head.status.code))
        writeStaticString(" ")
        writeString(head.status.reasonPhrase)
        writeStaticString("\r\n")
        for (name, value) in head.headers {
            writeString(name)
            writeStaticString(": ")
            writeString(value)
            writeStaticString("\r\n")
        }
        writeStaticString("\r\n")
    }
}
