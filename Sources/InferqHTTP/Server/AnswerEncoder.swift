import HTTPTypes
import NIOCore

/// The head of an answer, as it is written.
struct ResponseHead: Sendable {
    var status: HTTPResponse.Status
    /// All but those that say where the answer and the connection end: these are written by ``AnswerEncoder``.
    var fields = HTTPFields()
    /// Bytes of the body; nil when no one knows them beforehand.
    var length: Int?
    /// Whether the connection ends with the answer.
    var isLast = false
    var isHTTP10 = false

    /// The client that waits for it may send the body.
    static let invitation = ResponseHead(status: .continue)
}

/// What is written of an answer at a time: its head, bytes of its body, its end, or several of these in that order.
struct AnswerPart: Sendable {
    var head: ResponseHead?
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
        let most = part.head?.mostBytes ?? 0
        var bytes = allocator.buffer(capacity: most + Self.framing + (copies ? body.readableBytes : 0))
        if let head = part.head {
            isChunked = head.isChunked
            bytes.writeWithOutputRawSpan(minimumWritableBytes: most) { head.write(to: &$0) }
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

    private static func end(_ bytes: inout ByteBuffer, afterChunk isChunk: Bool, isLast: Bool) {
        if isChunk { bytes.writeStaticString("\r\n") }
        if isLast { bytes.writeStaticString("0\r\n\r\n") }
    }
}

extension ResponseHead {
    /// Where the head is the whole answer, whatever its fields say (RFC 9112, section 6.3).
    var mayHaveBody: Bool {
        status.code >= 200 && status.code != 204 && status.code != 304
    }

    /// How the client finds the end of the body: by its length, by the last chunk, or, in HTTP/1.0, by the end of the
    /// connection.
    fileprivate var isChunked: Bool { mayHaveBody && length == nil && !isHTTP10 }

    /// Bytes that ``write(to:)`` writes at most: the first line, the fields that are not in the list, and the empty line
    /// have 128 with the longest number.
    fileprivate var mostBytes: Int {
        var most = 128 + status.reasonPhrase.utf8.count
        for field in fields { most += field.name.rawName.utf8.count + field.value.utf8.count + 4 }
        return most
    }

    /// The types of the fields admit no line ends (``HTTPTypes/HTTPField``), so nothing is looked at here.
    fileprivate func write(to out: inout OutputRawSpan) {
        out.append(literal: isHTTP10 ? "HTTP/1.0 " : "HTTP/1.1 ")
        out.append(String(status.code))
        out.append(UInt8(ascii: " "))
        out.append(status.reasonPhrase)
        out.append(literal: "\r\n")
        for field in fields {
            out.append(field.name.rawName)
            out.append(literal: ": ")
            out.append(field.value)
            out.append(literal: "\r\n")
        }
        if isChunked {
            out.append(literal: "Transfer-Encoding: chunked\r\n")
        } else if mayHaveBody, let length {
            out.append(literal: "Content-Length: ")
            out.append(String(length))
            out.append(literal: "\r\n")
        }
        if isLast { out.append(literal: "Connection: close\r\n") }
        out.append(literal: "\r\n")
    }
}

extension OutputRawSpan {
    fileprivate mutating func append(literal text: StaticString) {
        for byte in UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount) { append(byte) }
    }

    fileprivate mutating func append(_ text: String) {
        withUnsafeMutableBytes { bytes, count in
            var text = text
            text.withUTF8 {
                precondition($0.count <= bytes.count - count, "more bytes than there is room for")
                UnsafeMutableRawBufferPointer(rebasing: bytes[count...]).copyMemory(from: UnsafeRawBufferPointer($0))
                count += $0.count
            }
        }
    }
}
