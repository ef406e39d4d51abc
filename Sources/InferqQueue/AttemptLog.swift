import InferqCore
package import Logging

/// What the log says of attempts that ended: each failure with what becomes of the job. Failures that repeat themselves
/// do not flood it.
struct AttemptLog: Sendable {
    private let throttle = LogThrottle()

    /// - Parameters:
    ///   - job: as it was stored; nil when the outcome could not be stored or came too late.
    ///   - log: carries the job's id, its model and the attempt.
    func ended(with outcome: Outcome, _ job: Job?, _ log: Logger, of model: String) {
        switch outcome {
        case .answered: log.debug("attempt completed")
        case .refused(let refusal):
            log.debug("the model server did not take the call", metadata: ["reason": "\(refusal.failure.message)"])
        case .failed(let failure, _, _): failed(with: failure, job, log, of: model)
        }
    }

    private func failed(with failure: Failure, _ job: Job?, _ log: Logger, of model: String) {
        guard let job else { return log.debug("attempt failed when it no longer counted") }
        var metadata: Logger.Metadata = ["code": "\(failure.code.rawValue)", "reason": "\(failure.message)"]
        if let status = failure.status { metadata["status"] = .stringConvertible(status) }
        let kind = "\(model) \(failure.code.rawValue)"
        if job.status.isFinal {
            throttle.log(log, .warning, "attempt failed, the job ended in ERROR", of: kind, metadata: metadata)
        } else {
            metadata["retry_at"] = "\(job.runAt.rfc3339)"
            throttle.log(log, .notice, "attempt failed, will be repeated", of: kind, metadata: metadata)
        }
    }
}

extension LogThrottle {
    /// Says that a model server has gone or come back.
    package func log(_ transition: Availability.Transition, of model: String, _ logger: Logger) {
        switch transition {
        case .wentAway(let state, let reason):
            log(
                logger, .warning, "model server is away, its jobs wait", of: model,
                metadata: ["model": "\(model)", "state": "\(state.rawValue)", "reason": "\(reason)"]
            )
        case .cameBack(let time):
            log(
                logger, .notice, "model server is back", of: model,
                metadata: ["model": "\(model)", "away": "\(DurationText.format(time))"]
            )
        }
    }
}

extension Logger {
    /// A logger whose lines name the attempt.
    func of(_ claim: Claim) -> Logger {
        var log = self
        log[metadataKey: "job_id"] = "\(claim.job.id)"
        log[metadataKey: "model"] = "\(claim.job.model)"
        log[metadataKey: "attempt"] = .stringConvertible(claim.job.attempt)
        return log
    }
}
