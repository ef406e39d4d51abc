import InferqCore
import InferqQueue

/// Brings the pieces of one answer to the gateway that has the job, in order. Where the gateway cannot be reached over HTTP,
/// nothing is shown, and the answer goes the way of those that come whole.
actor PieceCourier {
    /// Brings one piece, within a time; false: the gateway does not have it.
    typealias Hand = @Sendable (Piece, _ patience: Duration) async throws -> Bool

    /// A gateway that restarts is back within seconds. Before the first piece is there nothing is lost by giving up, and
    /// the model server must not be kept waiting.
    private static let firstPatience = Duration.seconds(5)
    private static let patience = Duration.seconds(120)

    /// A piece could not be brought after others had been.
    struct Stranded: Error {}

    private var hasDelivered = false
    /// Pieces that stay here, since the gateway cannot be reached.
    private var held: [UInt8]?

    func take(_ piece: Piece, _ hand: Hand) async throws {
        if held != nil {
            held?.append(contentsOf: piece.bytes)
            return
        }
        if try await hand(piece, hasDelivered ? Self.patience : Self.firstPatience) {
            hasDelivered = true
        } else if hasDelivered {
            throw Stranded()
        } else {
            held = piece.bytes
        }
    }

    /// A reply that says all that there is to say through Redis: without a piece that only this process has.
    func completed(_ reply: Reply, _ hand: Hand) async -> Reply {
        switch reply {
        case .answered(let answer):
            guard let whole = await completed(answer, hand) else {
                return .failed(
                    Failure(
                        .badResponse, "the end of the answer could not be delivered to the gateway", isRetryable: true),
                    retryAfter: nil)
            }
            return .answered(whole)
        case .failed(let failure, let retryAfter, let answer?):
            return .failed(failure, retryAfter: retryAfter, answer: await completed(answer, hand))
        case .failed, .refused: return reply
        }
    }

    /// Nil: its rest could not be brought.
    private func completed(_ answer: Reply.Answer, _ hand: Hand) async -> Reply.Answer? {
        guard let stream = answer.stream else { return answer }
        let head = answer.streamHead
        guard hasDelivered else { return Reply.Answer((held ?? []) + (stream.rest?.bytes ?? []), head) }
        if let rest = stream.rest {
            do {
                try await take(rest, hand)
            } catch {
                return nil
            }
        }
        let delivered = Reply.Answer.Stream(byteCount: stream.byteCount, digest: stream.digest, rest: nil)
        return Reply.Answer([], head, stream: delivered)
    }
}
