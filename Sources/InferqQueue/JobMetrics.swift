package import InferqCore
import InferqStore
import Synchronization

/// What has become of jobs since the start, for operators: counted from what the store has committed, after the commit.
///
/// Labels are bounded: models that were configured, closed lists of outcomes and causes.
package final class JobMetrics: Sendable {
    /// The figures of one model.
    package final class Model: Sendable {
        package let submitted = Counter()
        /// Submits that were answered with the job of their idempotency key.
        package let replayed = Counter()
        /// Submits that found the queue full.
        package let refused = Counter()
        package let started = Counter()
        /// Attempts that were cut short through no fault of their own.
        package let interrupted = Counter()
        /// Attempts that failed and are repeated.
        package let retried = Counter()
        package let completed = Counter()
        package let failed = Counter()
        package let cancelled = Counter()
        /// Failed attempts, and jobs that failed without one, by cause.
        package let failures = Dictionary(uniqueKeysWithValues: Failure.Code.allCases.map { ($0, Counter()) })
        /// From the moment at which a job was due to the start of its attempt.
        package let waiting = Histogram.ofJobs()
        /// From the start of an attempt to its outcome.
        package let running = Histogram.ofJobs()
        /// From the submission to the final state.
        package let total = Histogram.ofJobs()
    }

    private let models = Mutex<[String: Model]>([:])
    private let events = JobEvent.Kind.allCases.map { _ in Counter() }

    /// Every model that was configured or had a job since the start, by name.
    package var all: [(name: String, figures: Model)] {
        models.withLock { models in models.map { ($0.key, $0.value) }.sorted { $0.0 < $1.0 } }
    }

    package func eventCount(of kind: JobEvent.Kind) -> Int {
        events[kind.rawValue].value
    }

    /// The figures of a model, which must be known to the store: this is what bounds their number.
    func of(_ model: String) -> Model {
        models.withLock { models in
            if let found = models[model] { return found }
            let new = Model()
            models[model] = new
            return new
        }
    }

    /// Takes a committed change into account.
    func apply(_ change: JobStore.Change) {
        let job = change.job
        for event in change.events { events[event.kind.rawValue].add() }
        // A job that merely became due: nothing that is counted.
        guard let now = change.events.last?.at else { return }
        let model = of(job.model)
        // A probe's start is seen only once the model server works on it.
        if let start = change.events.first(where: { $0.kind == .updated && $0.status == .running }) {
            model.started.add()
            model.waiting.observe(milliseconds(from: max(job.runAt, job.createdAt), to: start.at))
        }
        switch (change.before, job.state) {
        case (nil, _): model.submitted.add()
        case (.running, .pending):
            if change.events.contains(where: { $0.kind == .attemptFailed }) {
                model.retried.add()
                countFailure(of: job, model)
            } else {
                model.interrupted.add()
            }
        case (_, .completed): end(job, model.completed, model, now)
        case (_, .failed):
            countFailure(of: job, model)
            end(job, model.failed, model, now)
        case (_, .cancelled): end(job, model.cancelled, model, now)
        default: break
        }
    }

    /// The outcome of an attempt has been stored.
    func attemptEnded(_ claim: Claim, at now: Elapsed) {
        of(claim.job.model).running.observe(Int((now - claim.startedAt).milliseconds))
    }

    private func end(_ job: Job, _ outcome: Counter, _ model: Model, _ now: Timestamp) {
        outcome.add()
        model.total.observe(milliseconds(from: job.createdAt, to: now))
    }

    private func countFailure(of job: Job, _ model: Model) {
        if let code = job.error?.code { model.failures[code]?.add() }
    }

    /// By the wall clock: wrong, and no more than that, for what was running when it was set.
    private func milliseconds(from start: Timestamp, to end: Timestamp) -> Int {
        max(Int(end.milliseconds - start.milliseconds), 0)
    }
}

extension Job.State {
    var isPending: Bool {
        if case .pending = self { true } else { false }
    }
}
