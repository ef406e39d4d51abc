import InferqCore
import InferqQueue
import NIOCore
import NIOHTTP1

/// Takes a model server's answer in, bounded, as bytes.
enum AnswerReader {
    /// What came of a body.
    struct Body {
        var bytes: [UInt8] = []
        /// Why it is not whole: ``AnswerStream/TooLarge``, or what broke the exchange. Nil: it is.
        var problem: (any Error)?
    }

    /// The whole body, or as much of it as came.
    ///
    /// - Parameters:
    ///   - limit: bytes.
    ///   - limits: told that the answer goes on.
    static func body(_ answer: ClientAnswer, limit: Int, _ limits: CallLimits) async -> Body {
        var body = Body()
        if let announced = answer.headers.first(name: "content-length").flatMap({ Int(saturating: $0) }),
            announced > limit
        {
            body.problem = AnswerStream.TooLarge()
            return body
        }
        do {
            try await answer.read { piece in
                limits.noteProgress()
                guard body.bytes.count + piece.readableBytes <= limit else { throw AnswerStream.TooLarge() }
                body.bytes.append(contentsOf: piece.readableBytesView)
                return true
            }
        } catch {
            body.problem = error
        }
        return body
    }

    /// - Parameter limit: bytes.
    static func tooLarge(_ limit: Int) -> Reply {
        .failed(
            Failure(.tooLarge, "the model server's answer is larger than \(limit) bytes", isRetryable: false),
            retryAfter: nil
        )
    }

    static var headTooLarge: Reply {
        .failed(
            Failure(.badResponse, "the head of the model server's answer is too large", isRetryable: true),
            retryAfter: nil
        )
    }
}

extension StreamHead {
    /// What is kept of an answer's head.
    ///
    /// - Parameter keepsFields: whether status and header fields are wanted, as for a call.
    /// - Returns: nil when the fields are too many to keep.
    init?(_ answer: ClientAnswer, keepsFields: Bool) {
        var head: AnswerHead?
        if keepsFields {
            guard let fields = HeaderPassage.toClient(answer.headers) else { return nil }
            head = AnswerHead(status: answer.status, headers: fields)
        }
        let encodings = answer.headers["content-encoding"]
        self.init(
            contentType: answer.headers.first(name: "content-type"),
            contentEncoding: encodings.isEmpty ? nil : encodings.joined(separator: ", "),
            answer: head
        )
    }
}
