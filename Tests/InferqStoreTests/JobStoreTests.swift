import GRDB
import TestSupport
import Testing

@testable import InferqCore
@testable import InferqStore

/// Rows and events: what was stored comes back, and every change has its event.
@Suite(.timeLimit(.minutes(10)))
struct JobStoreTests {
    @Test
    func aJobComesBackAsItWasStored() async throws {
        try await withStore { store in
            var options = Job.Options()
            options.priority = -100
            options.timeout = .milliseconds(1500)
            options.metadata = Array(#"{"a": 1}"#.utf8)
            options.retryOf = UUIDv7(high: .max, low: 0)
            options.traceparent = "00-1-2-03"
            let sample = Job.sample()
            var job = Job(
                id: sample.id,
                eventID: sample.eventID,
                model: "b",
                options: options,
                maxAttempts: 7,
                expiry: Job.Expiry(in: .seconds(60), from: .at(Job.submitted)),
                input: Payload(content: .inline([0, 255]), byteCount: 2, contentType: nil, form: .bytes, digest: [9]),
                start: .after(.seconds(1)),
                now: .at(Job.submitted)
            )
            job.lastEvent = try await store.insert(job).lastEvent
            #expect(try await store.job(job.id) == job)
        }
    }

    @Test
    func anEndedJobComesBackWithItsOutput() async throws {
        try await withStore { store in
            try await store.insert(.sample())
            try await store.claim(.sample())
            try await store.complete(.sample(), "[2]")
            let job = try #require(try await store.job(Job.sample().id))
            #expect(job.state == .completed(finishedAt: Job.submitted))
            #expect(job.output == .json("[2]"))
            #expect(job.attempt == 1)
        }
    }

    @Test
    func aJobIsFoundByEitherIdentifierAndByNoOtherOfTheSameKey() async throws {
        try await withStore { store in
            let job = try await store.insert(.sample())
            #expect(try await store.head(job.id)?.id == job.id)
            #expect(try await store.course(of: job.eventID)?.key == job.key)
            #expect(try await store.head(job.eventID) == nil)
            #expect(try await store.course(of: job.id) == nil)
            #expect(try await store.course(named: job.id) == store.course(of: job.eventID))
            #expect(try await store.course(named: job.eventID) == store.course(of: job.eventID))
            #expect(try await store.course(named: UUIDv7(key: job.key, tag: 7, random: 3)) == nil)
            #expect(try await store.head(UUIDv7(key: job.key, tag: 7, random: 3)) == nil)
        }
    }

    @Test
    func everyChangeHasItsEvent() async throws {
        try await withStore { store in
            try await store.insert(.sample())
            try await store.claim(.sample())
            try await store.complete(.sample())
            let history = try #require(try await store.history(Job.sample().key, after: 0, limit: 10))
            #expect(history.events.map(\.status) == [.pending, .running, .completed])
            #expect(history.job.lastEvent == history.last)
        }
    }

    @Test
    func aRefusedChangeLeavesNoEvent() async throws {
        try await withStore { store in
            try await store.insert(.sample())
            await #expect(throws: IllegalTransition.self) { try await store.complete(.sample()) }
            #expect(try await store.history(Job.sample().key, after: 0, limit: 10)?.events.count == 1)
        }
    }

    @Test
    func aChangeOfAJobThatIsNotThereIsNone() async throws {
        try await withStore { store in
            let claimed = try await store.claim(.sample())
            #expect(claimed == nil)
        }
    }

    @Test
    func aChangeByAnIDThatIsNotTheJobsIsNone() async throws {
        try await withStore { store in
            let job = try await store.insert(.sample())
            let other = UUIDv7(key: job.key, tag: 7, random: 3)
            for (id, isChanged) in [(other, false), (job.id, true)] {
                let change = try await store.change(job.key, id: id, rank: .change, now: .at(Job.submitted)) {
                    $0.cancel(now: .at(Job.submitted))
                }
                #expect((change != nil) == isChanged)
                #expect(try await store.head(job.id)?.status == (isChanged ? .cancelled : .pending))
            }
        }
    }

    @Test
    func theHistoryGoesOnAfterTheEventThatWasSeen() async throws {
        try await withStore { store in
            let first = try await store.insert(.sample()).lastEvent
            try await store.claim(.sample())
            let rest = try await store.history(Job.sample().key, after: first, limit: 10)?.events
            #expect(rest?.map(\.status) == [.running])
        }
    }

    @Test
    func aHistoryEndsWithTheReportThatReachesTheByteLimit() async throws {
        try await withStore { store in
            try await store.insert(.sample())
            try await store.claim(.sample())
            let report = Report(detail: Array(repeating: 32, count: 1000), layers: nil)
            for _ in 0..<4 {
                try await store.change(.sample()) { try $0.report($0.lease, report, limit: 100) }
            }
            let key = Job.sample().key
            let cut = try #require(try await store.history(key, after: 0, limit: 10, byteLimit: 1500))
            // Accepted and started have none; the second report passes the limit.
            #expect(cut.events.count == 4)
            #expect(cut.hasMore)
            let rest = try #require(try await store.history(key, after: cut.last ?? 0, limit: 10, byteLimit: 9000))
            #expect(rest.events.count == 2)
            #expect(!rest.hasMore)
        }
    }

    @Test
    func aStoreThatIsClosedRefuses() async throws {
        let folder = try TemporaryFolder()
        let store = try folder.open()
        await store.close()
        await #expect(throws: StoreError.closed) { try await store.insert(.sample()) }
    }

    @Test
    func aModelThatWasAddedTakesJobs() async throws {
        try await withStore { store in
            try await store.add(models: ["c"])
            #expect(try await store.insert(.sample(model: "c")).model == "c")
        }
    }

    @Test
    func theColumnsAreThoseOfTheSchema() async throws {
        try await withStore { store in
            let (job, event) = try await store.pool.read { db in
                (try db.columns(in: "job").map(\.name), try db.columns(in: "event").map(\.name))
            }
            #expect(Set(JobColumn.allCases.map(\.name)) == Set(job))
            #expect(Set(EventColumn.allCases.map(\.name)) == Set(event))
        }
    }

    // MARK: Idempotency keys

    private func key(_ text: String = "key", body: [UInt8] = []) -> IdempotencyKey {
        IdempotencyKey(text, contentType: nil, query: nil, body: body)
    }

    private func id(_ insertion: JobStore.Insertion) -> UUIDv7 {
        switch insertion {
        case .inserted(let change): change.job.id
        case .known(let id): id
        }
    }

    @Test
    func theSameKeyGivesTheSameJob() async throws {
        try await withStore { store in
            let told = Recording<JobKey>()
            store.onCommit { told.add($0.job.key) }
            _ = try await store.insert(.sample(0), key: key(), at: .at(Job.submitted))
            let second = try await store.insert(.sample(1), key: key(), at: .at(Job.submitted))
            #expect(id(second) == Job.sample(0).id)
            #expect(told.entries == [Job.sample(0).key], "one job is new")
            #expect(try await store.jobs(JobFilter()).count == 1)
        }
    }

    @Test
    func aKeyOfAnotherRequestIsRefusedAndStoresNothing() async throws {
        try await withStore { store in
            _ = try await store.insert(.sample(0), key: key(), at: .at(Job.submitted))
            await #expect(throws: KeyReused.self) {
                try await store.insert(.sample(1), key: key(body: [1]), at: .at(Job.submitted))
            }
            #expect(try await store.jobs(JobFilter()).count == 1)
        }
    }

    @Test
    func aKeyIsKnownAfterARestart() async throws {
        let folder = try TemporaryFolder()
        try await withStore(in: folder) { store in
            _ = try await store.insert(.sample(0), key: key(), at: .at(Job.submitted))
        }
        try await withStore(in: folder) { store in
            let second = try await store.insert(.sample(1), key: key(), at: .at(Job.submitted))
            #expect(id(second) == Job.sample(0).id)
        }
    }

    @Test
    func sixteenAtOnceWithOneKeyMakeOneJob() async throws {
        try await withStore { store in
            let ids = try await withThrowingTaskGroup(of: UUIDv7.self) { group in
                for number in 0..<16 {
                    group.addTask {
                        id(try await store.insert(.sample(Int64(number)), key: key(), at: .at(Job.submitted)))
                    }
                }
                return try await group.reduce(into: Set<UUIDv7>()) { $0.insert($1) }
            }
            #expect(ids.count == 1)
            #expect(try await store.jobs(JobFilter()).map(\.id) == Array(ids))
        }
    }

    @Test
    func aKeyGoesWithItsJob() async throws {
        try await withStore { store in
            _ = try await store.insert(.sample(0), key: key(), at: .at(Job.submitted))
            try await store.pool.write { try $0.execute(sql: "DELETE FROM job") }
            #expect(
                id(try await store.insert(.sample(1), key: key(), at: .at(Job.submitted))) == Job.sample(1).id)
        }
    }
}
