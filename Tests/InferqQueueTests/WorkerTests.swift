import ServiceLifecycle
import Synchronization
import TestSupport
import Testing

@testable import InferqCore
@testable import InferqQueue
@testable import InferqStore

@Suite(.timeLimit(.minutes(10)))
struct WorkerTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    /// A model server that never answers, and tells when it was called and when the call was given up.
    private struct Silent: Sendable {
        let called = Bell()
        let givenUp = Bell()

        func answer(_ claim: Claim) async -> Outcome {
            called.ring(.event)
            let stopped = Bell()
            claim.stop.whenStopped { stopped.ring(.stop) }
            _ = await stopped.wait()
            givenUp.ring(.event)
            return .answered("too late")
        }
    }

    @Test
    func anAnswerCompletesTheJob() async throws {
        try await withRunningQueue(in: folder, call: { _, _ in .answered("[1]") }) { running in
            let job = try await running.queue.end(of: try await running.submit())
            #expect(job.output == .json("[1]"))
        }
    }

    @Test
    func aCallGetsTheInputOfItsJob() async throws {
        let inputs = Recording<Payload>()
        try await withRunningQueue(
            in: folder,
            call: { claim, _ in
                inputs.add(claim.job.input)
                return .answered("1")
            }
        ) { running in
            _ = try await running.queue.end(of: try await running.submit())
            #expect(inputs.entries == [.json("1")])
        }
    }

    @Test
    func aFailedAttemptIsRepeated() async throws {
        try await withRunningQueue(
            in: folder, call: { claim, _ in claim.job.attempt == 1 ? .failed() : .answered("1") }
        ) { running in
            let job = try await running.queue.end(of: try await running.submit())
            #expect(job.status == .completed)
            #expect(job.attempt == 2)
            #expect(job.failures == 1)
        }
    }

    @Test
    func aJobFailsAfterItsLastAttempt() async throws {
        try await withRunningQueue(in: folder, call: { _, _ in .failed() }) { running in
            let job = try await running.queue.end(of: try await running.submit { $0.maxAttempts = 4 })
            #expect(job.status == .failed)
            #expect(job.attempt == 4)
        }
    }

    @Test
    func aCancelStopsTheCall() async throws {
        let silent = Silent()
        try await withRunningQueue(in: folder, call: { claim, _ in await silent.answer(claim) }) { running in
            let job = try await running.submit()
            _ = await silent.called.wait()
            let cancelled = try await running.queue.cancel(job.id)
            #expect(cancelled?.status == .cancelled)
            #expect(await silent.givenUp.wait() == .event)
        }
    }

    @Test
    func anOutcomeAfterTheCancelIsDropped() async throws {
        let silent = Silent()
        let id = Recording<Job>()
        try await withRunningQueue(in: folder, call: { claim, _ in await silent.answer(claim) }) { running in
            let job = try await running.submit()
            _ = await silent.called.wait()
            _ = try await running.queue.cancel(job.id)
            _ = await silent.givenUp.wait()
            id.add(job)
        }
        // The worker has ended, so nothing can come any more.
        let job = try #require(id.entries.first)
        try await withStore(in: folder) { store in
            let found = try await store.head(job.id)
            #expect(found?.status == .cancelled)
            #expect(found?.output == nil)
        }
    }

    @Test
    func aJobThatWasCancelledBeforeItsTakeIsNeverCalled() async throws {
        let calls = Recording<UUIDv7>()
        let silent = Silent()
        try await withRunningQueue(
            in: folder,
            call: { claim, _ in
                calls.add(claim.job.id)
                return await silent.answer(claim)
            }
        ) { running in
            let first = try await running.submit()
            _ = await silent.called.wait()
            let second = try await running.submit()
            _ = try await running.queue.cancel(second.id)
            _ = try await running.queue.cancel(first.id)
            let third = try await running.submit()
            _ = await silent.called.wait()
            #expect(calls.entries == [first.id, third.id])
            _ = try await running.queue.cancel(third.id)
        }
    }

    @Test
    func noMoreAttemptsRunThanTheModelHasSlots() async throws {
        let slots = 3
        let counts = Mutex((running: 0, most: 0))
        let full = (0..<slots).map { _ in Bell() }
        try await withRunningQueue(
            in: folder,
            model: { $0.concurrency = slots },
            call: { claim, _ in
                let running = counts.withLock { counts in
                    counts.running += 1
                    counts.most = max(counts.most, counts.running)
                    return counts.running
                }
                // The first ones wait for each other; once all slots were busy no one waits any more.
                if running == slots { for bell in full { bell.ring(.event) } }
                if running <= slots {
                    _ = await full[running - 1].wait()
                    full[running - 1].ring(.event)
                }
                counts.withLock { $0.running -= 1 }
                return .answered("1")
            }
        ) { running in
            var jobs: [Job] = []
            for _ in 0..<12 { jobs.append(try await running.submit()) }
            for job in jobs { _ = try await running.queue.end(of: job) }
            #expect(counts.withLock { $0.most } == slots)
        }
    }

    // MARK: The stop

    @Test
    func aStopLetsAnAttemptEnd() async throws {
        let called = Bell()
        let answer = Bell()
        let submitted = Recording<Job>()
        try await withRunningQueue(
            in: folder,
            call: { _, _ in
                called.ring(.event)
                _ = await answer.wait()
                return .answered("1")
            }
        ) { running in
            submitted.add(try await running.submit())
            _ = await called.wait()
            await running.group.triggerGracefulShutdown()
            answer.ring(.event)
        }
        let job = try #require(submitted.entries.first)
        try await withStore(in: folder) { store in
            let found = try await store.head(job.id)
            #expect(found?.status == .completed)
        }
    }

    @Test
    func whatStillRunsAfterTheDrainTimeoutIsPutBackAndDoesNotCount() async throws {
        let silent = Silent()
        let submitted = Recording<Job>()
        try await withRunningQueue(
            in: folder, drainTimeout: .milliseconds(20), call: { claim, _ in await silent.answer(claim) }
        ) { running in
            submitted.add(try await running.submit())
            _ = await silent.called.wait()
        }
        let job = try #require(submitted.entries.first)
        try await withStore(in: folder) { store in
            #expect(store.recovery.interrupted == 0)
            let history = try #require(try await store.history(job.key, after: 0, limit: 10))
            #expect(history.job.isDue)
            #expect(history.job.failures == 0)
            #expect(
                history.events.last?.draft.text
                    == "attempt 1 was interrupted (the gateway stopped) and will be repeated")
        }
    }
}
