import InferqCore
import InferqQueue
import NIOCore
import NIOHTTP1

/// Takes a model server's 2xx answer in, bounded, as bytes.
enum AnswerReader {
    /// - Parameter limit: bytes.
    /// - Throws: what breaks the exchange.
    static func read(_ answer: ClientAnswer, limit: Int) async throws -> Reply {
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
        let encodings = answer.headers["content-encoding"]
        return .answered(
            Reply.Answer(
                bytes,
                contentType: answer.headers.first(name: "content-type"),
                contentEncoding: encodings.isEmpty ? nil : encodings.joined(separator: ", ")
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
