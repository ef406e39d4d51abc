package import InferqCore
package import InferqQueue
import InferqStore
package import Logging

/// Makes the attempts of this process: inputs come from the store, and answers go to it.
package struct LocalAttempts: Sendable {
    private let server: ModelServer
    private let store: JobStore
    private let pieces: PieceWriter
    private let keeper: AnswerKeeper
    private let publicURL: @Sendable () -> String
    private let logger: Logger

    /// - Parameter publicURL: how model servers reach the gateway; asked at each call, since it may not be known before
    ///   the listeners are.
    package init(
        _ server: ModelServer,
        queue: JobQueue,
        wheel: TimerWheel,
        publicURL: @escaping @Sendable () -> String,
        logger: Logger
    ) {
        self.server = server
        store = queue.store
        pieces = PieceWriter(queue: queue, wheel: wheel, logger: logger)
        self.publicURL = publicURL
        self.logger = logger
        keeper = AnswerKeeper(store: store)
    }

    /// Makes a connection for the next call; see ``ModelServer/reach(_:)``.
    package func reach(_ settings: ModelSettings) async -> Refusal? {
        await server.reach(settings)
    }

    /// One attempt. Once the claim's signal says stop, this returns soon; the outcome means nothing then.
    package func attempt(_ claim: Claim, _ settings: ModelSettings) async -> Outcome {
        do {
            let input: Attempt.Body =
                if let file = try await store.file(of: claim.job.input) {
                    .file(file)
                } else {
                    .bytes(try await store.bytes(of: claim.job.input) ?? [])
                }
            let token = NotifyToken(claim.job.key, claim.lease).text(store.signingKey)
            var attempt = Attempt(claim, body: input, gatewayURL: publicURL(), token: token)
            attempt.pieces = PieceSink { [pieces] in try await pieces.commit($0, of: claim) }
            let reply = await server.answer(to: attempt, settings)
            // Of an attempt that is over nothing is kept but what was stored.
            guard claim.stop.reason == nil else { return failure("the attempt was over") }
            switch reply {
            case .failed(let failure, let retryAfter, let answer):
                return .failed(failure, retryAfter: retryAfter, answer: await kept(answer, claim, settings))
            case .answered(let answer): return await keep(answer, claim, settings)
            case .refused(let refusal): return .refused(refusal)
            }
        } catch {
            logger.error(
                "the input of a job cannot be read", metadata: ["job_id": "\(claim.job.id)", "error": "\(error)"])
            return failure("the stored input cannot be read")
        }
    }

    /// Without it the job fails all the same, and its client is told why in our words.
    private func kept(
        _ answer: Reply.Answer?, _ claim: Claim, _ settings: ModelSettings
    ) async -> Outcome.Answer? {
        guard let answer else { return nil }
        do {
            return try await keeper.kept(answer, settings, claim.run)
        } catch {
            logger.error("an answer could not be stored", metadata: ["job_id": "\(claim.job.id)", "error": "\(error)"])
            return nil
        }
    }

    private func keep(_ answer: Reply.Answer, _ claim: Claim, _ settings: ModelSettings) async -> Outcome {
        do {
            return try await keeper.outcome(answer, settings, claim.run)
        } catch {
            logger.error("an answer could not be stored", metadata: ["job_id": "\(claim.job.id)", "error": "\(error)"])
            return failure("the answer could not be stored: \(error)")
        }
    }

    private func failure(_ message: String) -> Outcome {
        .failed(Failure(.badResponse, message, isRetryable: true), retryAfter: nil)
    }
}
