import GRDB
import Synchronization
import TestSupport
import Testing

@testable import InferqCore
@testable import InferqQueue
@testable import InferqStore

/// What the store's clock makes of the machine's clocks, while it runs and from one start to the next.
struct StoreClockTests {
    private static let day = Duration.seconds(86_400)

    /// Clocks that a test sets.
    private final class Clocks: Sendable {
        private let state = Mutex((wall: Job.submitted.milliseconds, sinceBoot: Int64(5000)))

        var source: StoreClock.Source {
            StoreClock.Source(
                wall: { Timestamp(milliseconds: self.state.withLock { $0.wall }) },
                sinceBoot: { self.state.withLock { $0.sinceBoot } }
            )
        }

        func pass(_ duration: Duration) {
            state.withLock { state in
                state.wall += duration.milliseconds
                state.sinceBoot += duration.milliseconds
            }
        }

        func setWall(by step: Duration) {
            state.withLock { $0.wall += step.milliseconds }
        }

        /// The machine was off, and its clock went on so far meanwhile.
        func startMachine(after off: Duration) {
            state.withLock { $0 = ($0.wall + off.milliseconds, 20) }
        }

        func origin(
            after note: StoreClock.Note?,
            newest: Moment? = nil,
            isSameBoot: Bool
        ) -> StoreClock.Origin {
            StoreClock.origin(
                after: note, newest: newest.map { ($0.wall, $0.elapsed) }, isSameBoot: isSameBoot,
                wall: source.wall(), sinceBoot: source.sinceBoot()
            )
        }

        func start(after note: StoreClock.Note? = nil, newest: Moment? = nil, isSameBoot: Bool = true) -> StoreClock {
            StoreClock(source, origin(after: note, newest: newest, isSameBoot: isSameBoot))
        }
    }

    private let clocks = Clocks()

    // MARK: While it runs

    @Test
    func aNewStoreBeginsWithTheWallClock() {
        #expect(clocks.start().now == .at(Job.submitted))
    }

    @Test(arguments: [Duration.seconds(864_000), .seconds(-86_400), .seconds(2_300_000_000)])
    func settingTheWallClockMovesNothingElse(_ step: Duration) {
        let clock = clocks.start()
        clocks.pass(.seconds(3))
        clocks.setWall(by: step)
        let now = clock.now
        #expect(now.wall == Job.submitted + .seconds(3) + step)
        #expect(now.elapsed == Moment.at(Job.submitted + .seconds(3)).elapsed)
        #expect(now.certain == now.elapsed)
    }

    @Test
    func eachStepIsToldOnce() {
        let clock = clocks.start()
        let told = Mutex(0)
        clock.whenSet { told.withLock { $0 += 1 } }
        clocks.setWall(by: Self.day)
        _ = clock.now
        _ = clock.now
        clocks.setWall(by: .zero - Self.day)
        #expect(clock.takeSteps() == [Self.day, .zero - Self.day])
        #expect(clock.takeSteps() == [])
        #expect(told.withLock { $0 } == 2)
    }

    @Test
    func aTimeServiceAtWorkIsNoStep() {
        let clock = clocks.start()
        for _ in 0..<10 {
            clocks.pass(.seconds(60))
            clocks.setWall(by: .milliseconds(90))
        }
        #expect(clock.takeSteps() == [])
    }

    // MARK: From one start to the next

    @Test
    func timePassesBetweenTwoProcessesWhateverTheWallClockSays() {
        let first = clocks.start()
        let note = first.note
        clocks.pass(.seconds(7200))
        clocks.setWall(by: .zero - Self.day)
        let origin = clocks.origin(after: note, isSameBoot: true)
        #expect(origin.finding == .set(by: .zero - Self.day))
        let now = StoreClock(clocks.source, origin).now
        #expect(now.elapsed == Moment.at(Job.submitted + .seconds(7200)).elapsed)
        #expect(now.certain == now.elapsed)
    }

    @Test
    func theTimeInWhichTheMachineWasOffEndsWaitsAndRemovesNothing() {
        let first = clocks.start()
        let note = first.note
        clocks.pass(.seconds(100))
        let newest = first.now
        clocks.startMachine(after: Self.day)
        let second = clocks.start(after: note, newest: newest, isSameBoot: false)
        #expect(second.now.elapsed == newest.elapsed + Self.day)
        #expect(second.now.certain == newest.certain)
        // What was believed once is believed from then on, also after the next such start.
        let kept = second.note
        clocks.pass(.seconds(5))
        clocks.startMachine(after: .seconds(60))
        let third = clocks.start(after: kept, newest: nil, isSameBoot: false)
        #expect(third.now.elapsed == kept.moment.elapsed + .seconds(65))
        #expect(third.now.certain == kept.moment.certain)
    }

    @Test
    func aClockBehindTheNewestEntryIsTold() {
        let first = clocks.start()
        let note = first.note
        clocks.pass(.seconds(100))
        let newest = first.now
        clocks.startMachine(after: .zero - Self.day * 8)
        let origin = clocks.origin(after: note, newest: newest, isSameBoot: false)
        #expect(origin.finding == .behind(by: Self.day * 8))
        let second = StoreClock(clocks.source, origin)
        #expect(second.now.elapsed == newest.elapsed)
        // The time service sets it right: nothing of it is time that has passed.
        clocks.setWall(by: Self.day * 8)
        #expect(second.now.elapsed == newest.elapsed)
        #expect(second.now.certain == newest.certain)
    }

    @Test
    func aBootTimeClockThatGoesBackIsAnotherMachine() {
        clocks.pass(.seconds(500))
        let note = clocks.start().note
        clocks.startMachine(after: .seconds(30))
        let now = clocks.start(after: note, isSameBoot: true).now
        #expect(now.elapsed == note.moment.elapsed + .seconds(30))
        #expect(now.certain == note.moment.certain)
    }

    @Test
    func aNoteIsReadBack() throws {
        let note = clocks.start().note
        #expect(StoreClock.Note(note.text) == note)
        #expect(StoreClock.Note("1 2 3") == nil)
        #expect(StoreClock.Note("") == nil)
    }

    // MARK: In a store

    private func queue(on store: JobStore) throws -> JobQueue {
        let model = ModelSettings(name: "a", url: "http://127.0.0.1:1/")
        return try JobQueue(store: store, broker: RingBroker(capacity: 8), models: [model])
    }

    private func submit(
        to queue: JobQueue,
        _ prepare: (inout Submission.Options) -> Void = { _ in }
    ) async throws -> Job {
        var options = Submission.Options()
        prepare(&options)
        let receipt = try await queue.submit(Submission(model: "a", options: options, input: .json("1")))
        return try #require(receipt.job)
    }

    /// Ends a job at once and returns it.
    private func ended(in store: JobStore, _ number: Int64) async throws -> Job {
        let now = store.clock.now
        let job = try await store.insert(.sample(number, at: now.wall))
        _ = try await store.change(job.key, rank: .outcome, now: now, { $0.cancel(now: now) })
        return job
    }

    private func removeDue(_ store: JobStore) async throws -> Int {
        let week = RetentionSettings(age: Self.day * 7, maxBytes: 1 << 40)
        return try await store.removeEnded(week, now: store.clock.now.certain).0.jobs
    }

    @Test(arguments: [(8, true), (8, false), (-8, true), (-8, false)])
    func noClockThatWasSetRemovesAJob(_ days: Int, _ isSameBoot: Bool) async throws {
        let folder = try TemporaryFolder()
        let first = try await withStore(in: folder, source: clocks.source) { store in
            let job = try await ended(in: store, 0)
            clocks.setWall(by: Self.day * days)
            #expect(try await removeDue(store) == 0)
            return job
        }
        if isSameBoot { clocks.pass(.seconds(1)) } else { clocks.startMachine(after: Self.day * days) }
        let bootID = isSameBoot ? "boot" : "another"
        try await withStore(in: folder, bootID: bootID, source: clocks.source) { store in
            clocks.pass(.seconds(60))
            _ = try await ended(in: store, 1)
            clocks.setWall(by: Self.day * 8)
            #expect(try await removeDue(store) == 0)
            // Only time that has passed does.
            clocks.pass(Self.day * 7 - .seconds(30))
            #expect(try await removeDue(store) == 1)
            #expect(try await store.head(first.id) == nil)
        }
    }

    @Test
    func aPauseEndsAfterItsLengthWhateverTheWallClockSays() async throws {
        try await withStore(in: try TemporaryFolder(), source: clocks.source) { store in
            let now = store.clock.now
            let job = Job.sample(delay: .seconds(2), at: now.wall)
            try await store.insert(job)
            clocks.setWall(by: .zero - Self.day)
            clocks.pass(.seconds(2))
            let early = store.clock.now
            #expect(try await store.pool.read { try SQL.waitingJobs($0, until: early, limit: 10) } == [])
            clocks.pass(.milliseconds(1))
            let late = store.clock.now
            #expect(try await store.pool.read { try SQL.waitingJobs($0, until: late, limit: 10) } == [job.key])
        }
    }

    @Test
    func aNamedTimeIsTheWallClocks() async throws {
        try await withStore(in: try TemporaryFolder(), source: clocks.source) { store in
            let queue = try queue(on: store)
            let runAt = store.clock.now.wall + Self.day
            let job = try await submit(to: queue) { $0.start = .at(runAt) }
            #expect(job.due == nil)
            #expect(try await store.nextDeadline(from: store.clock.now) == Self.day)
            clocks.setWall(by: Self.day)
            let now = store.clock.now
            #expect(try await store.pool.read { try SQL.waitingJobs($0, until: now, limit: 10) } == [job.key])
        }
    }

    @Test
    func howLongAJobIsPendingIsTold() async throws {
        try await withStore(in: try TemporaryFolder(), source: clocks.source) { store in
            let queue = try queue(on: store)
            _ = try await submit(to: queue) { $0.start = .after(.seconds(3600)) }
            clocks.pass(.seconds(60))
            clocks.setWall(by: Self.day * 10_000)
            #expect(try await queue.modelFigures().map(\.oldestPending) == [.seconds(60)])
        }
    }

    @Test
    func aJobIsShownAndFoundByWhenItWasSubmitted() async throws {
        let folder = try TemporaryFolder()
        var filter = JobFilter()
        filter.createdAfter = Job.submitted + .seconds(59)
        filter.createdBefore = Job.submitted + .seconds(61)
        let later = try await withStore(in: folder, source: clocks.source) { store in
            let queue = try queue(on: store)
            let before = try await submit(to: queue)
            clocks.setWall(by: Self.day * 26_000)
            let far = try await submit(to: queue)
            clocks.setWall(by: .zero - Self.day * 26_000)
            clocks.pass(.seconds(60))
            let later = try await submit(to: queue)
            #expect(later.createdAt == Job.submitted + .seconds(60))
            #expect(before.key < far.key && far.key < later.key)
            #expect(try await store.jobs(filter).map(\.id) == [later.id])
            return later
        }
        // The next process knows it, too, and goes on from there.
        clocks.pass(.seconds(60))
        try await withStore(in: folder, source: clocks.source) { store in
            let found = try await store.jobs(filter)
            #expect(found.map(\.id) == [later.id])
            #expect(store.ids.next { store.clock.now }.id.key > later.key)
        }
    }
}
