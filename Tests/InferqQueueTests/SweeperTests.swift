import Logging
import ServiceLifecycle
import TestSupport
import Testing

@testable import InferqCore
@testable import InferqQueue
@testable import InferqStore

@Suite(.timeLimit(.minutes(10)))
struct SweeperTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    @Test
    func aDelayedJobRunsWhenItsTimeHasComeAndNotBefore() async throws {
        try await withRunningQueue(in: folder, call: { _, _ in .answered("1") }) { running in
            let now = Timestamp.now
            let runAt = now + .milliseconds(150)
            let submitted = try await running.submit(at: .at(now)) { $0.start = .at(runAt) }
            #expect(submitted.state == .pending(isDue: false))
            let job = try await running.queue.end(of: submitted)
            #expect(job.status == .completed)
            #expect(try #require(job.startedAt) >= runAt)
        }
    }

    @Test
    func aRetryRunsWhenItsPauseIsOver() async throws {
        try await withRunningQueue(
            in: folder,
            call: { claim, _ in
                claim.job.attempt == 1 ? .failed(retryAfter: .milliseconds(100)) : .answered("1")
            }
        ) { running in
            let job = try await running.queue.end(of: try await running.submit())
            let finishedAt = try #require(job.finishedAt)
            #expect(finishedAt - job.createdAt >= .milliseconds(100))
        }
    }

    @Test
    func aJobThatNobodyTakesInTimeExpires() async throws {
        let busy = Bell()
        try await withRunningQueue(
            in: folder,
            call: { claim, _ in
                let stopped = Bell()
                claim.stop.whenStopped { stopped.ring(.stop) }
                busy.ring(.event)
                _ = await stopped.wait()
                return .answered("1")
            }
        ) { running in
            let first = try await running.submit()
            _ = await busy.wait()
            let second = try await running.submit { $0.expiresIn = .milliseconds(50) }
            let job = try await running.queue.end(of: second)
            #expect(job.error?.code == .expired)
            #expect(job.attempt == 0)
            _ = try await running.queue.cancel(first.id)
        }
    }

    @Test
    func aJobThatHasBegunDoesNotExpire() async throws {
        try await withStore(in: folder) { store in
            let queue = try JobQueue(
                store: store, broker: RingBroker(capacity: 8),
                models: [ModelSettings(name: "a", url: "http://127.0.0.1:1/")]
            )
            let logger = Logger(label: "test")
            let wheel = TimerWheel(tick: .milliseconds(5))
            let sweeper = Sweeper(queue: queue, wheel: wheel, logger: logger)
            let running = RunningQueue(
                queue: queue, group: ServiceGroup(services: [wheel, sweeper], logger: logger)
            )
            let begun = try await running.submit { $0.expiresIn = .milliseconds(10) }
            _ = try await queue.claim(Offer(model: "a", job: begun.key), now: .at(begun.createdAt))
            let waiting = try await running.submit { $0.expiresIn = .milliseconds(20) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await running.group.run() }
                // Expires after the other one would have.
                #expect(try await running.queue.end(of: waiting).error?.code == .expired)
                await running.group.triggerGracefulShutdown()
                try await group.waitForAll()
            }
            let found = try await store.head(begun.id)
            #expect(found?.status == .running)
        }
    }

    @Test
    func manyJobsBecomeDueAtOnce() async throws {
        try await withRunningQueue(
            in: folder, model: { $0.concurrency = 32 }, call: { _, _ in .answered("1") }
        ) { running in
            let runAt = Timestamp.now + .milliseconds(300)
            let jobs = try await withThrowingTaskGroup(of: Job.self) { group in
                // More than one step of the sweeper.
                for _ in 0..<450 { group.addTask { try await running.submit { $0.start = .at(runAt) } } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            for job in jobs { _ = try await running.queue.end(of: job) }
        }
    }
}
