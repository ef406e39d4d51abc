import HTTPTypes
import HummingbirdCore
import NIOCore
import NIOHTTPTypes

/// Writes one answer: whole, with a single flush, if its body is one piece; else piece by piece, each of which is waited
/// for until the kernel has taken it.
struct AnswerWriter: ResponseBodyWriter {
    private let channel: any Channel
    private let head: HTTPResponse
    private var isHeadWritten = false
    /// The first piece, kept until it is known whether more follow.
    private var whole: ByteBuffer?

    init(_ head: HTTPResponse, to channel: any Channel) {
        self.head = head
        self.channel = channel
    }

    mutating func write(_ buffer: ByteBuffer) async throws {
        if !isHeadWritten, whole == nil, head.headerFields[.contentLength] == String(buffer.readableBytes) {
            whole = buffer
            return
        }
        if !isHeadWritten {
            channel.write(HTTPResponsePart.head(head), promise: nil)
            isHeadWritten = true
        }
        if let whole {
            channel.write(HTTPResponsePart.body(whole), promise: nil)
            self.whole = nil
        }
        try await channel.writeAndFlush(HTTPResponsePart.body(buffer)).get()
    }

    /// Sends the head at once: of an answer whose body comes later.
    mutating func flushHead() {
        guard !isHeadWritten else { return }
        isHeadWritten = true
        channel.writeAndFlush(HTTPResponsePart.head(head), promise: nil)
    }

    consuming func finish(_ trailers: HTTPFields?) async throws {
        if !isHeadWritten { channel.write(HTTPResponsePart.head(head), promise: nil) }
        if let whole { channel.write(HTTPResponsePart.body(whole), promise: nil) }
        channel.writeAndFlush(HTTPResponsePart.end(trailers), promise: nil)
    }
}
