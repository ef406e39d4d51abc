import InferqCore
import InferqQueue
import NIOCore
import NIOHTTP1

/// Takes a model server's answer in, bounded, as bytes.
enum AnswerReader {
    /// - Parameters:
    ///   - limit: bytes.
    ///   - keepsHead: whether status and header fields are wanted, as for a call.
    /// - Throws: what breaks the exchange.
    static func read(_ answer: ClientAnswer, limit: Int, keepsHead: Bool) async throws -> Reply {
        if let announced = answer.headers.first(name: "content-length").flatMap({ Int(saturating: $0) }),
            announced > limit
        {
            return tooLarge(limit)
        }
        var bytes: [UInt8] = []
        var isTooLarge = false
        try await answer.read { piece in
            isTooLarge = bytes.count + piece.readableBytes > limit
            if !isTooLarge { bytes.append(contentsOf: piece.readableBytesView) }
            return !isTooLarge
        }
        if isTooLarge { return tooLarge(limit) }
        var head: AnswerHead?
        if keepsHead {
            guard let fields = HeaderPassage.toClient(answer.headers) else {
                return .failed(
                    Failure(.badResponse, "the head of the model server's answer is too large", isRetryable: true),
                    retryAfter: nil
                )
            }
            head = AnswerHead(status: answer.status, headers: fields)
        }
        let encodings = answer.headers["content-encoding"]
        return .answered(
            Reply.Answer(
                bytes,
                contentType: answer.headers.first(name: "content-type"),
                contentEncoding: encodings.isEmpty ? nil : encodings.joined(separator: ", "),
                head: head
            )
        )
    }

    private static func tooLarge(_ limit: Int) -> Reply {
        .failed(
            Failure(.tooLarge, "the model server's answer is larger than \(limit) bytes", isRetryable: false),
            retryAfter: nil
        )
    }
}
