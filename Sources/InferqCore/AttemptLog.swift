import Logging

/// What the log says of attempts that ended: each failure with what becomes of the job, and model servers that come
/// and go. Failures that repeat themselves do not flood it.
struct AttemptLog: Sendable {
    private let throttle = LogThrottle()

    /// - Parameters:
    ///   - finish: nil when the outcome could not be stored.
    ///   - log: carries the job's id, its model and the attempt.
    func ended(with outcome: Outcome, _ finish: JobQueue.Finish?, _ log: Logger, of model: String) {
        if let turn = finish?.turn { note(turn, outcome, log, of: model) }
        guard case .failed(let failure, _) = outcome else { return log.debug("attempt completed") }
        guard let job = finish?.job else { return log.debug("attempt failed when it no longer counted") }
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

    private func note(_ turn: ModelHealth.Turn, _ outcome: Outcome, _ log: Logger, of model: String) {
        switch turn {
        case .wentDown:
            var metadata: Logger.Metadata = [:]
            if case .failed(let failure, _) = outcome { metadata["reason"] = "\(failure.message)" }
            throttle.log(log, .warning, "model server cannot be reached", of: model, metadata: metadata)
        case .cameUp: throttle.log(log, .notice, "model server is reached again", of: model)
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

extension JobQueue {
    /// What an outcome has led to.
    struct Finish: Sendable {
        /// As it was stored; nil when the outcome came too late.
        let job: Job?
        /// Whether the model server has gone or come back with it.
        let turn: ModelHealth.Turn?
    }
}
