package import InferqCore

/// A job that a worker has taken: the right to end this one attempt.
package struct Claim: Sendable {
    /// As it was committed, with its input as far as it lies in the row.
    package let job: Job
    package let lease: Job.Lease
    let startedAt: Elapsed
    /// Tells the attempt to stop.
    package let stop: StopSignal
    /// Of a probe: rings once its call has been sent, and with ``Bell/Rings/stop`` when it is over.
    var sent: Bell?
    /// The client's own `Authorization`, to be passed on; nil for nearly all.
    var authorization: String?

    /// The model server was away: this call shows whether it is back.
    var isProbe: Bool { sent != nil }
    var offer: Offer { Offer(model: job.model, job: job.key) }
}
