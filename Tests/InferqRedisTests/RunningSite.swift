import Logging
import TestSupport

@testable import InferqCore
@testable import InferqQueue
@testable import InferqRedis
@testable import InferqStore

/// A gateway without model servers of its own, which runs in this process: all that it does goes through Redis.
struct RunningGateway: Sendable {
    let queue: JobQueue
    let redis: RedisService
    let peers: Peers

    /// Stores a job of the model "a".
    func submit(_ body: String = "1", by caller: Caller = .anonymous) async throws -> Job {
        var submission = Submission(model: "a", options: Submission.Options(), input: .json(body))
        submission.caller = caller
        let receipt = try await queue.submit(submission)
        guard let job = receipt.job else { throw StoreError.closed }
        return job
    }
}

/// Runs `body` beside a gateway, which is stopped gracefully afterwards.
func withGateway(
    _ server: RedisServer, _ store: JobStore, _ body: (RunningGateway) async throws -> Void
) async throws {
    let wheel = TimerWheel(tick: .milliseconds(5))
    let peers = Peers()
    var model = ModelSettings(name: "a", url: "")
    model.backoffBase = .zero
    let broker = RedisBroker(
        link: server.link { $1.heartbeat = .milliseconds(100) }, store: store, models: ["a"], capacity: 16,
        peers: peers,
        logger: .silent
    ) { "http://127.0.0.1:1" }
    let queue = try JobQueue(store: store, broker: broker, models: [model])
    let redis = RedisService(
        broker: broker, queue: queue, peers: peers, wheel: wheel, bootID: "boot", changes: Bell(),
        logger: .silent)
    redis.start()
    try await withServices([wheel, queue.scheduler, Sweeper(queue: queue, wheel: wheel, logger: .silent), redis]) { _ in
        try await body(RunningGateway(queue: queue, redis: redis, peers: peers))
    }
}

/// Runs `body` beside a worker of the model "a" with one slot, which is stopped gracefully afterwards.
func withWorker(
    _ server: RedisServer,
    drainTimeout: Duration = .seconds(30),
    call: @escaping @Sendable (JobOffer, StopSignal) async -> Reply,
    _ body: () async throws -> Void
) async throws {
    let wheel = TimerWheel(tick: .milliseconds(5))
    let worker = RedisWorker(
        link: server.link { $1.heartbeat = .milliseconds(100) }, name: "w", host: "h", bootID: "boot",
        models: [ModelSettings(name: "a", url: "http://127.0.0.1:1/")], wheel: wheel, drainTimeout: drainTimeout,
        logger: .silent
    ) { offer, stop, _ in .reply(await call(offer, stop)) }
    try await withServices([wheel, worker]) { _ in try await body() }
}
