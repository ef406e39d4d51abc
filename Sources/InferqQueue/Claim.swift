package import InferqCore
import Synchronization

/// A job that a worker has taken: the right to end this one attempt.
package struct Claim: Sendable {
    /// As it was committed, with its input as far as it is in the row.
    package let job: Job
    package let lease: Job.Lease
    let startedAt: Elapsed
    /// As ``startedAt``, by a clock that no one sets.
    let since = ContinuousClock.now
    /// Tells the attempt to stop.
    package let stop: StopSignal
    /// Of a probe: rings once its call has been sent, and with ``Bell/Rings/stop`` when it is over.
    var sent: Bell?
    /// Of a probe: the one that takes it lets clients see the start of the attempt.
    var showing: Once?
    /// The client's own `Authorization`, to be passed on; nil for nearly all.
    var authorization: String?

    /// The model server was away: this call shows whether it is back.
    var isProbe: Bool { sent != nil }
    /// Where the pieces of its answer lie.
    package var run: PieceRun { PieceRun(job: job.key, attempt: job.attempt) }
    var offer: Offer { Offer(model: job.model, job: job.key) }
}

/// Something that is done by the first one who comes.
final class Once: Sendable {
    private let isTaken = Atomic<Bool>(false)

    /// - Returns: whether the caller is the first one.
    func take() -> Bool {
        !isTaken.exchange(true, ordering: .relaxed)
    }
}
