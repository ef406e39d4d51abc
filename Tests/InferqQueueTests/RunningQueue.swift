import Logging
import ServiceLifecycle
import TestSupport

@testable import InferqCore
@testable import InferqQueue
@testable import InferqStore

/// A gateway's middle that runs, without HTTP: a closure stands where model servers are called.
struct RunningQueue: Sendable {
    let queue: JobQueue
    let group: ServiceGroup

    /// Stores a job of the model "a".
    func submit(
        at now: Moment? = nil,
        _ prepare: (inout Submission.Options) -> Void = { _ in }
    ) async throws -> Job {
        var options = Submission.Options()
        prepare(&options)
        let submission = Submission(model: "a", options: options, input: .json("1"))
        let receipt = try await queue.submit(submission, now: now)
        guard let job = receipt.job else { throw StoreError.closed }
        return job
    }
}

/// Runs `body` beside a worker, a sweeper and a scheduler, and stops them afterwards if `body` has not.
///
/// - Parameter model: the one model, "a".
func withRunningQueue(
    in folder: TemporaryFolder,
    model prepare: (inout ModelSettings) -> Void = { _ in },
    drainTimeout: Duration = .seconds(30),
    call: @escaping Worker.Call,
    _ body: @Sendable (RunningQueue) async throws -> Void
) async throws {
    var model = ModelSettings(name: "a", url: "http://127.0.0.1:1/")
    model.backoffBase = .zero
    prepare(&model)
    try await withStore(in: folder) { store in
        let queue = try JobQueue(store: store, broker: RingBroker(capacity: 64), models: [model])
        let wheel = TimerWheel(tick: .milliseconds(5))
        let worker = Worker(queue: queue, wheel: wheel, drainTimeout: { drainTimeout }, logger: .silent, call: call)
        let sweeper = Sweeper(queue: queue, wheel: wheel, logger: .silent)
        worker.start()
        try await withServices([wheel, queue.scheduler, sweeper, worker]) { group in
            try await body(RunningQueue(queue: queue, group: group))
        }
    }
}
