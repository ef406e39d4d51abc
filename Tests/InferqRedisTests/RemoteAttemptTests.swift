import Synchronization
import TestSupport
import Testing

@testable import InferqCore
@testable import InferqQueue
@testable import InferqRedis
@testable import InferqStore

/// A gateway and its workers, each with a connection of its own to a real Redis.
@Suite(.timeLimit(.minutes(10)), .enabled(if: RedisServer.program != nil, "there is no redis-server"))
struct RemoteAttemptTests {
    private static let answer = Reply.answered(Reply.Answer(Array("42".utf8), contentType: "application/json"))
    private static let dropped = Reply.failed(Failure(.badResponse, "dropped", isRetryable: true), retryAfter: nil)

    /// A call that ends when it is told to stop.
    private static func untilStopped(_ stop: StopSignal) async -> Reply {
        let bell = Bell()
        stop.whenStopped { bell.ring(.stop) }
        _ = await bell.wait()
        return dropped
    }

    @Test
    func aWorkersAnswerEndsTheJob() async throws {
        let server = try RedisServer()
        try await withStore(remoteAttempts: .keep) { store in
            try await withGateway(server, store) { gateway in
                let offers = Offers()
                try await withWorker(server) { offer, _ in
                    offers.add(offer)
                    return Self.answer
                } _: {
                    let job = try await gateway.submit()
                    let ended = try await gateway.queue.end(of: job)
                    #expect(ended.status == .completed)
                    let output = try await store.bytes(of: try #require(ended.output))
                    #expect(output == Array("42".utf8))
                    #expect(ended.attempt == 1)
                    let offer = try #require(offers.all.first)
                    #expect(offer.job == job.id)
                    #expect(offer.attempt == 1)
                    #expect(offer.body == Array("1".utf8))
                    #expect(NotifyToken(offer.token, store.signingKey)?.lease == offer.lease)
                    #expect(gateway.redis.remoteAttempts.all.isEmpty)
                }
            }
        }
    }

    @Test
    func aCancelStopsTheCallAtItsWorker() async throws {
        let server = try RedisServer()
        try await withStore(remoteAttempts: .keep) { store in
            try await withGateway(server, store) { gateway in
                let stopped = Bell()
                try await withWorker(server) { _, stop in
                    let reply = await Self.untilStopped(stop)
                    if stop.reason == .cancelled { stopped.ring(.event) }
                    return reply
                } _: {
                    let job = try await gateway.submit()
                    _ = try await gateway.queue.wait(for: job) { $0.status == .running }
                    let cancelled = try await gateway.queue.cancel(job.id)
                    #expect(cancelled?.status == .cancelled)
                    #expect(await stopped.wait() == .event)
                    #expect(gateway.redis.remoteAttempts.all.isEmpty)
                }
            }
        }
    }

    @Test
    func aFailedAttemptIsRepeated() async throws {
        let server = try RedisServer()
        try await withStore(remoteAttempts: .keep) { store in
            try await withGateway(server, store) { gateway in
                try await withWorker(server) { offer, _ in
                    offer.attempt == 1 ? Self.dropped : Self.answer
                } _: {
                    let ended = try await gateway.queue.end(of: gateway.submit())
                    #expect(ended.status == .completed)
                    #expect(ended.attempt == 2)
                }
            }
        }
    }

    @Test
    func aClientRunsNoMoreThanItMayAtAllWorkersTogether() async throws {
        let server = try RedisServer()
        let calls = Calls()
        let released = Bell()
        let call: @Sendable (JobOffer, StopSignal) async -> Reply = { offer, _ in
            guard offer.body == Array("1".utf8) else { return Self.answer }
            if calls.begin() { _ = await released.wait() }
            calls.end()
            return Self.answer
        }
        try await withStore(remoteAttempts: .keep) { store in
            try await withGateway(server, store) { gateway in
                gateway.queue.setRunningLimits(["x": 1])
                try await withWorker(server, call: call) {
                    try await withWorker(server, call: call) {
                        var jobs: [Job] = []
                        let caller = Caller("x", [.submit], Caller.Limits())
                        for _ in 0..<6 { jobs.append(try await gateway.submit(by: caller)) }
                        // Others pass by while the first one runs.
                        for _ in 0..<3 { _ = try await gateway.queue.end(of: gateway.submit("2")) }
                        #expect(gateway.queue.clientFigures()["x"]?.running == 1)
                        released.ring(.event)
                        for job in jobs { #expect(try await gateway.queue.end(of: job).status == .completed) }
                        #expect(calls.most == 1)
                    }
                }
            }
        }
    }

    /// What it was working on is interrupted, which is no failure, and another one takes it.
    @Test
    func aWorkerThatStopsGivesItsJobToAnother() async throws {
        let server = try RedisServer()
        try await withStore(remoteAttempts: .keep) { store in
            try await withGateway(server, store) { gateway in
                let job = try await gateway.submit()
                try await withWorker(server, drainTimeout: .zero) { _, stop in
                    await Self.untilStopped(stop)
                } _: {
                    _ = try await gateway.queue.wait(for: job) { $0.status == .running }
                }
                try await withWorker(server) { _, _ in
                    Self.answer
                } _: {
                    let ended = try await gateway.queue.end(of: job)
                    #expect(ended.status == .completed)
                    #expect(ended.failures == 0)
                }
            }
        }
    }

    /// The attempt goes on at its worker while the gateway is stopped, and its outcome waits in Redis.
    @Test
    func anOutcomeIsStoredByTheNextProcessOfItsGateway() async throws {
        let server = try RedisServer()
        let folder = try TemporaryFolder()
        let restarted = Bell()
        try await withWorker(server) { _, _ in
            _ = await restarted.wait()
            return Self.answer
        } _: {
            let submitted = Kept<Job>()
            try await withStore(in: folder, remoteAttempts: .keep) { store in
                try await withGateway(server, store) { gateway in
                    let job = try await gateway.submit()
                    submitted.set(try await gateway.queue.wait(for: job) { $0.status == .running })
                }
            }
            restarted.ring(.event)
            try await withStore(in: folder, remoteAttempts: .keep) { store in
                let job = try #require(submitted.value)
                #expect(store.recovery.remoteAttempts.map(\.job.id) == [job.id])
                try await withGateway(server, store) { gateway in
                    let ended = try await gateway.queue.end(of: job)
                    #expect(ended.status == .completed)
                }
            }
        }
    }
}

/// What a worker was offered, in order.
private final class Offers: Sendable {
    private let kept = Kept<[JobOffer]>()

    var all: [JobOffer] { kept.value ?? [] }

    func add(_ offer: JobOffer) { kept.set(all + [offer]) }
}

/// How many calls are made at a time, and were at most.
private final class Calls: Sendable {
    private let state = Mutex((now: 0, most: 0))

    var most: Int { state.withLock { $0.most } }

    /// - Returns: whether it is the first one of all.
    func begin() -> Bool {
        state.withLock { state in
            let isFirst = state.most == 0
            state.now += 1
            state.most = max(state.most, state.now)
            return isFirst
        }
    }

    func end() { state.withLock { $0.now -= 1 } }
}
