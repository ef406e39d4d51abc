import InferqCore
import InferqQueue

/// Says what an answer of 2xx came to. 200 is not success: a stream may break off, lack the end mark of its dialect, or
/// tell of an error in it.
struct StreamJudge {
    private let form: StreamForm

    init(_ form: StreamForm) {
        self.form = form
    }

    /// Of an answer that was taken in whole.
    func reply(_ body: AnswerReader.Body, _ explain: (any Error) -> Reply) -> Reply {
        var scanner = StreamScanner(framing: form.framing, mark: form.mark, findsErrors: form.findsErrors)
        body.bytes.withUnsafeBytes { scanner.read($0) }
        return reply(AnswerEnd(failure: body.problem, scanner: scanner, bytes: body.bytes, stream: nil), explain)
    }

    /// Of one that came piece by piece. What came of one that is not whole is kept.
    ///
    /// - Parameter explain: what broke the exchange, as a reply.
    func reply(_ end: AnswerEnd, _ explain: (any Error) -> Reply) -> Reply {
        var end = end
        if end.failure == nil { end.scanner.finish() }
        let count = end.stream?.byteCount ?? end.bytes?.count ?? 0
        let answer = Reply.Answer(end.bytes ?? [], form.head, stream: end.stream)
        // An error in band says more than that the connection broke after it.
        if form.isStream, let words = end.scanner.error {
            return .failed(Self.told(words), retryAfter: nil, answer: answer)
        }
        guard let problem = end.failure else {
            let failure = form.isStream ? failure(end.scanner) : nil
            return failure.map { .failed($0, retryAfter: nil, answer: answer) } ?? .answered(answer)
        }
        guard case .failed(let failure, let retryAfter, _) = explain(problem) else { return explain(problem) }
        return .failed(failure, retryAfter: retryAfter, answer: count > 0 ? answer : nil)
    }

    /// Why a stream that ended as HTTP has it is no success; nil: it is one.
    private func failure(_ scanner: StreamScanner) -> Failure? {
        if let words = scanner.error { return Self.told(words) }
        if scanner.byteCount == 0, form.findsErrors {
            return Failure(.badResponse, "the model server's stream ended without a byte", isRetryable: true)
        }
        guard !scanner.hasEndMark else { return nil }
        let message = "the model server's stream ended without its end mark, \(form.mark.spelling)"
        return Failure(.badResponse, message, isRetryable: true)
    }

    private static func told(_ words: String) -> Failure {
        Failure(.streamError, "the model server reported an error in its stream: \(words.clipped)", isRetryable: true)
    }
}

extension EndMark {
    /// As it stands in a stream, for people.
    fileprivate var spelling: String {
        switch self {
        case .done: "data: [DONE]"
        case .responses: "the event response.completed"
        case .message: "the event message_stop"
        case .ollama: "a line with \"done\": true"
        case .llama: "\"stop\": true"
        case .generated: "\"generated_text\""
        case .none: "none"
        }
    }
}
