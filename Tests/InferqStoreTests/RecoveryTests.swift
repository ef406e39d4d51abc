import Foundation
import GRDB
import TestSupport
import Testing

@testable import InferqCore
@testable import InferqStore

/// What the next start does with what the last one left behind.
@Suite(.timeLimit(.minutes(10)))
struct RecoveryTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    /// Starts, and stops at once.
    private func start(bootID: String = "boot") async throws -> Recovery {
        let store = try folder.open(bootID: bootID)
        await store.close()
        return store.recovery
    }

    private func leave(running jobs: [Job]) async throws {
        try await withStore(in: folder) { store in
            for job in jobs {
                try await store.insert(job)
                try await store.claim(job)
            }
        }
    }

    private func found(_ job: Job) async throws -> JobHistory {
        try await withStore(in: folder) { store in
            try #require(try await store.history(job.key, after: 0, limit: 100))
        }
    }

    @Test
    func everyStartIsANewEpoch() async throws {
        let first = try await start().epoch
        let second = try await start().epoch
        #expect([first, second] == [1, 2])
    }

    @Test
    func whatRanIsPutBack() async throws {
        try await leave(running: [.sample(0), .sample(1)])
        #expect(try await start().interrupted == 2)
        #expect(try await found(.sample(1)).job.isDue)
    }

    @Test
    func aStartTellsThatAnAttemptWasInterrupted() async throws {
        try await leave(running: [.sample()])
        let events = try await found(.sample()).events
        #expect(events.last?.draft.text == "attempt 1 was interrupted (the gateway crashed) and will be repeated")
        #expect(events.last?.status == .pending)
    }

    @Test
    func aNewBootIDMeansThatThePowerFailed() async throws {
        try await leave(running: [.sample()])
        _ = try await start(bootID: "other")
        let history = try await found(.sample())
        let (job, events) = (history.job, history.events)
        #expect(job.crashes == 0)
        #expect(events.last?.draft.text == "attempt 1 was interrupted (the power failed) and will be repeated")
    }

    @Test
    func whatDidNotRunIsLeftAlone() async throws {
        try await withStore(in: folder) { store in
            try await store.insert(.sample(0))
            try await store.insert(.sample(1, delay: .seconds(60)))
            try await store.insert(.sample(2))
            try await store.claim(.sample(2))
            try await store.complete(.sample(2))
        }
        #expect(try await start().interrupted == 0)
        #expect(try await found(.sample(0)).events.count == 1)
        #expect(try await found(.sample(1)).job.state == .pending(isDue: false))
        #expect(try await found(.sample(2)).job.status == .completed)
    }

    /// Lets `jobs` run into a crash, `times` times.
    private func crash(_ jobs: [Job], times: Int) async throws {
        try await withStore(in: folder) { store in for job in jobs { try await store.insert(job) } }
        for _ in 0..<times {
            try await withStore(in: folder) { store in for job in jobs { try await store.claim(job) } }
        }
    }

    @Test
    func aJobThatCrashesAloneThreeTimesIsPoisoned() async throws {
        try await crash([.sample()], times: 3)
        #expect(try await start().poisoned == 1)
        #expect(try await found(.sample()).job.error?.code == .poisoned)
    }

    @Test
    func aSuspectInTheCompanyOfItsModelIsNotPoisoned() async throws {
        try await crash([.sample(0), .sample(1)], times: 3)
        #expect(try await start().poisoned == 0)
        #expect(try await found(.sample(0)).job.isSuspect)
    }

    @Test
    func theLateOutcomeOfAnEarlierEpochIsRefused() async throws {
        try await leave(running: [.sample()])
        try await withStore(in: folder) { store in
            let late = Job.Lease(number: 1)
            try await store.claim(.sample())
            await #expect(throws: IllegalTransition.self) {
                try await store.change(.sample(), .outcome) { job in
                    try job.finish(late, with: .answered("1"), retry: .sample, jitter: 0, now: .at(Job.submitted))
                }
            }
        }
    }

    // MARK: Numbers

    @Test
    func anEventIDIsNeverUsedTwice() async throws {
        let last = try await withStore(in: folder) { store in
            let job = try await store.insert(.sample())
            try await store.pool.write { try SQL.deleteJob($0, job, at: Moment.at(Job.submitted).certain) }
            #expect(try await store.newestEvent() == job.lastEvent)
            return job.lastEvent
        }
        try await withStore(in: folder) { store in
            #expect(try await store.newestEvent() == last)
            let next = try await store.insert(.sample(1)).lastEvent
            #expect(next == last + 1)
        }
    }

    @Test
    func anEventIDIsNeverUsedTwiceAfterAnAnswerThatWasRemoved() async throws {
        let last = try await withStore(in: folder) { store in
            let job = try await store.insert(.sample())
            let lease = try #require(try await store.claim(job)).lease
            _ = try await store.append(Piece(number: 1, start: 0, bytes: [1], head: nil), to: job.key, lease) { _ in }
            let last = try await store.newestEvent()
            #expect(last == job.lastEvent + 2)
            try await store.pool.write { try SQL.deleteJob($0, job, at: Moment.at(Job.submitted).certain) }
            return last
        }
        try await withStore(in: folder) { store in
            let next = try await store.insert(.sample(1)).lastEvent
            #expect(next == last + 1)
        }
    }

    @Test
    func theEventsOfADeletedJobGoWithIt() async throws {
        try await withStore(in: folder) { store in
            let job = try await store.insert(.sample())
            let left = try await store.pool.write { db in
                try SQL.deleteJob(db, job, at: Moment.at(Job.submitted).certain)
                return try Int.fetchOne(db, sql: "SELECT count(*) FROM event")
            }
            #expect(left == 0)
        }
    }

    @Test
    func aClockThatWasSetBackReusesNoKey() async throws {
        let ahead = Timestamp(milliseconds: 2_000_000_000_000)
        try await withStore(in: folder) { store in _ = try await store.insert(.sample(at: ahead)) }
        try await withStore(in: folder) { store in
            #expect(store.ids.next { .at(Job.submitted) }.id.key > Job.sample(at: ahead).key)
        }
    }

    @Test
    func theKeyThatItSignsWithIsKept() async throws {
        let first = try await withStore(in: folder) { $0.signingKey.code(of: "a", byteCount: 32) }
        let second = try await withStore(in: folder) { $0.signingKey.code(of: "a", byteCount: 32) }
        #expect(first == second)
    }

    // MARK: Blobs

    @Test
    func aBlobThatNoJobNamesIsRemoved() async throws {
        let orphan = try await withStore(in: folder) { try await $0.blobs.store([1], as: .input) }
        #expect(try await start().orphans == 1)
        try await withStore(in: folder) { store in
            await #expect(throws: StoreError.self) { try await store.blobs.read(orphan) }
        }
    }

    @Test
    func aBlobThatAJobNamesIsKept() async throws {
        let (input, output) = try await withStore(in: folder) { store in
            let input = try await store.blobs.store([1, 2], as: .input)
            let output = try await store.blobs.store([3, 4], as: .output)
            let body = { Payload(content: .file($0), byteCount: 2, contentType: nil, form: .bytes) }
            try await store.insert(.sample(input: body(input)))
            try await store.claim(.sample())
            try await store.change(.sample(), .outcome) { job in
                let answer = Outcome.Answer(
                    payload: Payload(content: .file(output), byteCount: 2, contentType: nil, form: .bytes),
                    layers: .none
                )
                return try job.finish(job.lease, with: .answered(answer), retry: .sample, jitter: 0, now: .at(.now))
            }
            return (input, output)
        }
        #expect(try await start().orphans == 0)
        try await withStore(in: folder) { store in
            let contents = (try await store.blobs.read(input), try await store.blobs.read(output))
            #expect(contents == ([1, 2], [3, 4]))
        }
    }

    @Test
    func aFileThatIsNoBlobIsLeftAlone() async throws {
        _ = try await start()
        let path = folder.path + "/blobs/README"
        try Data("mine".utf8).write(to: URL(fileURLWithPath: path))
        #expect(try await start().orphans == 0)
        #expect(FileManager.default.fileExists(atPath: path))
    }
}
