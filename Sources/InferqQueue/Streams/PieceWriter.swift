package import InferqCore
import InferqStore
package import Logging

/// Stores the pieces of answers, wherever their attempts run: on a full disk again and again, until there is room or the
/// attempt is over.
package struct PieceWriter: Sendable {
    private let queue: JobQueue
    private let wheel: TimerWheel
    private let logger: Logger
    private let throttle = LogThrottle()

    package init(queue: JobQueue, wheel: TimerWheel, logger: Logger) {
        self.queue = queue
        self.wheel = wheel
        self.logger = logger
    }

    /// Returns once the piece is on disk.
    ///
    /// - Throws: ``PieceRefusal``, or ``StoreError``.
    package func commit(_ piece: Piece, of claim: Claim) async throws {
        let begin = ContinuousClock.now
        var mustShow = piece.number == 1 && claim.showing?.take() == true
        if mustShow { queue.scheduler.accepted(claim.offer) }
        while true {
            do {
                if mustShow {
                    guard try await queue.show(claim) else { throw PieceRefusal.attemptOver }
                    mustShow = false
                }
                switch try await queue.append(piece, of: claim) {
                case .stored, .known: break
                case .gap(let end): throw PieceRefusal.gap(end: end)
                case .attemptOver: throw PieceRefusal.attemptOver
                }
                return queue.streams.metrics.committed(piece, of: claim, in: ContinuousClock.now - begin)
            } catch StoreError.full {
                guard claim.stop.reason == nil, !queue.running.isInterrupting else { throw PieceRefusal.attemptOver }
                throttle.log(logger.of(claim), .error, "the disk is full: an answer waits to be stored")
                await wheel.pause(for: .seconds(1))
            }
        }
    }
}

extension JobQueue {
    /// Stores the next piece of an answer, and tells those who follow it.
    ///
    /// - Throws: ``StoreError``.
    func append(_ piece: Piece, of claim: Claim) async throws -> JobStore.Appended {
        try await store.append(piece, to: claim.job.key, claim.lease) { [hub, streams] id in
            streams.committed(piece, id: id, of: claim.run)
            hub.ringOutput(claim.job.key)
        }
    }
}
