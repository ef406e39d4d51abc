import Foundation
import GRDB
import TestSupport
import Testing

@testable import InferqCore
@testable import InferqStore

/// What the retention removes, in which order, and what it leaves.
@Suite(.timeLimit(.minutes(10)))
struct RetentionTests {
    private static let day = Duration.seconds(86_400)
    private static let week = RetentionSettings(age: .seconds(7 * 86_400), maxBytes: 1 << 40)

    /// Stores jobs that end one second apart, the first one at `Job.submitted`.
    private func end(_ count: Int, in store: JobStore, byteCount: Int = 2) async throws -> [Job] {
        var jobs: [Job] = []
        for number in 0..<count {
            let text = String(repeating: "x", count: byteCount)
            let job = try await store.insert(.sample(Int64(number), input: .json(text)))
            jobs.append(job)
            try await end(job, in: store, after: .seconds(number))
        }
        return jobs
    }

    private func end(_ job: Job, in store: JobStore, after delay: Duration) async throws {
        let now = Job.submitted + delay
        _ = try await store.change(job.key, rank: .outcome, now: .at(now), { $0.cancel(now: .at(now)) })
    }

    /// Steps until nothing is left to do; how many there were.
    @discardableResult
    private func removeAll(_ settings: RetentionSettings, _ store: JobStore, now: Moment) async throws -> Int {
        var steps = 0
        while try await store.removeEnded(settings, now: now.certain).0.rows > 0 { steps += 1 }
        return steps
    }

    private func ids(_ store: JobStore) async throws -> [UUIDv7] {
        try await store.jobs(JobFilter()).map(\.id).reversed()
    }

    private func rows(_ store: JobStore, of table: String) async throws -> Int {
        try await store.pool.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM \(table)") ?? 0 }
    }

    private func total(_ store: JobStore) async throws -> [Int] {
        try await store.pool.read { db in
            let total = try SQL.endedTotal(db)
            return [total.jobs, total.bytes]
        }
    }

    // MARK: Age

    @Test
    func jobsGoOnceTheirEndIsOldEnough() async throws {
        try await withStore { store in
            let jobs = try await end(4, in: store)
            let now = Job.submitted + Self.week.age + .milliseconds(1500)
            try await removeAll(Self.week, store, now: .at(now))
            #expect(try await ids(store) == jobs.dropFirst(2).map(\.id))
            #expect(try await rows(store, of: "event") == 4)
        }
    }

    @Test
    func anAgeOfZeroKeepsForEver() async throws {
        try await withStore { store in
            let jobs = try await end(2, in: store)
            let settings = RetentionSettings(age: .zero, maxBytes: 1 << 40)
            try await removeAll(settings, store, now: .at(.latest))
            #expect(try await ids(store) == jobs.map(\.id))
        }
    }

    @Test
    func jobsThatHaveNotEndedStayHoweverOldAndLarge() async throws {
        try await withStore { store in
            let pending = try await store.insert(.sample(0))
            let running = try await store.insert(.sample(1))
            try await store.claim(running)
            try await removeAll(RetentionSettings(age: .seconds(1), maxBytes: 0), store, now: .at(.latest))
            #expect(try await ids(store) == [pending.id, running.id])
        }
    }

    @Test
    func theOutlookNamesTheNextMoment() async throws {
        try await withStore { store in
            #expect(try await store.outlook(Self.week.age).next == nil)
            let job = try await end(1, in: store)[0]
            #expect(try await store.outlook(Self.week.age).next == Moment.at(Job.submitted + Self.week.age).certain)
            let now = Job.submitted + Self.week.age + .milliseconds(1)
            try await removeAll(Self.week, store, now: .at(now))
            // Only that it was there is left, for another thirty days.
            #expect(try await store.outlook(Self.week.age).next == Moment.at(now + .seconds(30 * 86_400)).certain)
            #expect(try await store.isDeleted(job.id))
            #expect(try await store.isDeleted(job.eventID))
        }
    }

    // MARK: Bytes

    @Test
    func pastMaxBytesThoseThatEndedFirstGo() async throws {
        try await withStore { store in
            let jobs = try await end(10, in: store, byteCount: 10_000)
            let settings = RetentionSettings(age: .zero, maxBytes: 50_000)
            try await removeAll(settings, store, now: .at(Job.submitted))
            #expect(try await ids(store) == jobs.suffix(4).map(\.id))
            #expect(try await total(store)[1] <= 50_000)
        }
    }

    @Test
    func theTotalIsWhatTheRowsAddUpToAndNothingInTheEnd() async throws {
        try await withStore { store in
            _ = try await end(3, in: store, byteCount: 1000)
            let reported = try await store.insert(.sample(10))
            try await store.claim(reported)
            for _ in 0..<3 {
                let report = Report(detail: Array(repeating: 32, count: 5000), layers: nil)
                try await store.change(reported) { try $0.report($0.lease, report, limit: 100) }
            }
            try await store.complete(reported, String(repeating: "1", count: 3000))
            let failed = try await store.insert(.sample(11, maxAttempts: 1))
            try await store.claim(failed)
            try await store.change(failed, .outcome) { job in
                try job.finish(job.lease, with: .failed(), retry: .once, jitter: 0, now: .at(Job.submitted))
            }
            let sum = try await store.pool.read { db in
                try Int.fetchOne(db, sql: "SELECT sum(\(Schema.size("job"))) FROM job WHERE phase >= 3") ?? 0
            }
            #expect(try await total(store) == [5, sum])
            #expect(sum > 5 * 1024 + 3 * 1000 + 3 * 5000 + 3000)
            try await removeAll(Self.week, store, now: .at(.latest))
            #expect(try await total(store) == [0, 0])
        }
    }

    // MARK: Steps

    @Test
    func aStepIsShort() async throws {
        try await withStore { store in
            _ = try await end(300, in: store)
            let (step, _) = try await store.removeEnded(Self.week, now: Moment.at(.latest).certain)
            #expect((1...128).contains(step.jobs))
            #expect(step.rows <= 300)
            #expect(try await removeAll(Self.week, store, now: .at(.latest)) >= 2)
            #expect(try await ids(store) == [])
        }
    }

    @Test
    func largeJobsGoInSmallerSteps() async throws {
        try await withStore { store in
            _ = try await end(100, in: store, byteCount: 60_000)
            let (step, _) = try await store.removeEnded(Self.week, now: Moment.at(.latest).certain)
            #expect(step.jobs < 50)
            #expect(step.bytes < 3 << 20)
        }
    }

    @Test
    func aJobOfManyEventsIsGoneAtOnceAndItsEventsStepByStep() async throws {
        try await withStore { store in
            let job = try await store.insert(.sample())
            try await store.claim(job)
            for _ in 0..<700 {
                try await store.change(job) { try $0.report($0.lease, Report(detail: [32], layers: nil), limit: 1000) }
            }
            try await store.complete(job)
            let (step, _) = try await store.removeEnded(Self.week, now: Moment.at(.latest).certain)
            #expect(step.jobs == 1)
            #expect(try await store.history(job.key, after: 0, limit: 1) == nil)
            #expect(try await rows(store, of: "event") > 600)
            #expect(try await removeAll(Self.week, store, now: .at(.latest)) >= 2)
            #expect(try await rows(store, of: "event") == 0)
            #expect(try await rows(store, of: "leftover") == 0)
        }
    }

    // MARK: What belongs to a job

    @Test
    func theFileOfABodyGoesWithItsJob() async throws {
        let folder = try TemporaryFolder()
        try await withStore(in: folder) { store in
            let name = try await store.blobs.store([1, 2, 3], as: .input)
            var input = Payload.json("123")
            input.content = .file(name)
            let job = try await store.insert(.sample(input: input))
            try await end(job, in: store, after: .zero)
            let path = folder.path + "/blobs/" + name.text
            #expect(FileManager.default.fileExists(atPath: path))
            try await removeAll(Self.week, store, now: .at(.latest))
            #expect(!FileManager.default.fileExists(atPath: path))
        }
    }

    @Test
    func aKeyHoldsForADayEvenIfItsJobDoesNot() async throws {
        try await withStore { store in
            let key = IdempotencyKey("key", contentType: nil, query: nil, body: [])
            let begin = Timestamp.now
            guard
                case .inserted(let change) = try await store.insert(
                    .sample(at: begin), key: key, at: .at(begin))
            else { throw StoreError.closed }
            let job = change.job
            _ = try await store.change(
                job.key, rank: .outcome, now: .at(begin), { $0.cancel(now: .at(begin)) }
            )
            let settings = RetentionSettings(age: .seconds(60), maxBytes: 1 << 40)
            try await removeAll(settings, store, now: .at(begin + .seconds(3600)))
            #expect(try await store.head(job.id) == nil)
            #expect(try await store.jobOf(key) == job.id)
            try await removeAll(settings, store, now: .at(begin + Self.day + .seconds(60)))
            #expect(try await store.jobOf(key) == nil)
            #expect(try await rows(store, of: "idempotency") == 0)
            #expect(try await rows(store, of: "leftover") == 0)
        }
    }

    @Test
    func theFileShrinksOnceMuchOfItIsFree() async throws {
        try await withStore { store in
            _ = try await end(100, in: store, byteCount: 60_000)
            let before = try await store.outlook(.zero)
            #expect(before.pages > 1400)
            try await removeAll(Self.week, store, now: .at(.latest))
            var outlook = try await store.outlook(.zero)
            #expect(outlook.freePages > 1400)
            while outlook.freePages > store.keptPages(outlook) {
                #expect(try await store.giveBack(outlook).pages > 0)
                outlook = try await store.outlook(.zero)
            }
            #expect(outlook.pages < 400)
        }
    }
}

extension RetryPolicy {
    fileprivate static let once = RetryPolicy(base: .zero, cap: .zero, maxAttempts: 1)
}
