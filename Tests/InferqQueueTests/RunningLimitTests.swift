import Synchronization
import TestSupport
import Testing

@testable import InferqCore
@testable import InferqQueue
@testable import InferqStore

/// Limits of running jobs with a store, a worker and a sweeper.
@Suite(.timeLimit(.minutes(10)))
struct RunningLimitTests {
    /// How many calls of each client are made at a time, and were at most.
    private final class Calls: Sendable {
        private let state = Mutex<[String: (now: Int, most: Int)]>([:])

        func begin(_ client: String) {
            state.withLock { state in
                state[client, default: (0, 0)].now += 1
                state[client, default: (0, 0)].most = max(state[client]?.most ?? 0, state[client]?.now ?? 0)
            }
        }

        func end(_ client: String) { state.withLock { $0[client]?.now -= 1 } }

        func most(_ client: String) -> Int { state.withLock { $0[client]?.most ?? 0 } }
    }

    private func submit(_ queue: JobQueue, _ client: String) async throws -> Job {
        var submission = Submission(model: "a", options: Submission.Options(), input: .json("1"))
        submission.caller = Caller(client, [.submit], Caller.Limits())
        return try #require(try await queue.submit(submission).job)
    }

    @Test(arguments: [1, 2])
    func aClientRunsNoMoreThanItMayAndAllEnd(_ limit: Int) async throws {
        let calls = Calls()
        let call: Worker.Call = { claim, _ in
            let client = claim.job.options.client ?? ""
            calls.begin(client)
            for _ in 0..<20 { await Task.yield() }
            calls.end(client)
            // Some are repeated.
            return claim.job.attempt == 1 && claim.job.key.value % 3 == 0 ? .failed() : .answered("1")
        }
        try await withRunningQueue(in: try TemporaryFolder(), model: { $0.concurrency = 6 }, call: call) { bed in
            bed.queue.setRunningLimits(["x": limit])
            var jobs: [Job] = []
            for number in 0..<300 { jobs.append(try await submit(bed.queue, number % 3 == 0 ? "y" : "x")) }
            for job in jobs { #expect(try await bed.queue.end(of: job).status == .completed) }
            #expect(calls.most("x") <= limit)
            #expect(calls.most("y") >= 1)
            #expect(bed.queue.clientFigures() == [:])
        }
    }

    @Test
    func whatWasOfferedBeforeALimitWasLoweredIsHeldToIt() async throws {
        try await withStore { store in
            var model = ModelSettings(name: "a", url: "http://127.0.0.1:1/")
            model.concurrency = 3
            let queue = try JobQueue(store: store, broker: RingBroker(capacity: 8), models: [model])
            let jobs = [try await submit(queue, "x"), try await submit(queue, "x"), try await submit(queue, "y")]
            let offers = jobs.map { Offer(model: "a", job: $0.key) }
            for offer in offers { queue.scheduler.taken(offer) }
            queue.setRunningLimits(["x": 1])
            let first = try await queue.claim(offers[0])
            let second = try await queue.claim(offers[1])
            #expect(first != nil && second == nil)
            #expect(try await queue.claim(offers[2]) != nil)
            #expect(try await store.head(jobs[1].id)?.isDue == true)
            queue.scheduler.ended(offers[1])
            queue.scheduler.ended(offers[0])
            queue.scheduler.taken(offers[1])
            #expect(try await queue.claim(offers[1]) != nil)
        }
    }
}
