import Foundation
import GRDB
import Synchronization
import TestSupport
import Testing

@testable import InferqCore
@testable import InferqQueue
@testable import InferqStore

/// The n-th write or sync of a job's path fails, for every n: what was acknowledged is there after the next start, and
/// what was not is there whole or not at all.
@Suite(.timeLimit(.minutes(10)))
struct StoreFailureTests {
    /// What the client and the worker were told.
    private enum Told: Int, CaseIterable, Sendable {
        case nothing, stored, claimed, failed, claimedAgain, completed
    }

    /// How far a job came, and what stopped it.
    private struct Course: Sendable {
        var id: UUIDv7?
        var told = Told.nothing
        var error: (any Error)?
    }

    private static let submission: Submission = {
        var submission = Submission(model: "a", options: Submission.Options(), input: .json("[1, 2]"))
        submission.key = IdempotencyKey("key", contentType: nil, query: nil, body: [])
        return submission
    }()

    /// A job's whole path, with an attempt that fails before the one that does not; from `course` on.
    private func walk(_ queue: JobQueue, _ course: inout Course) async {
        let retry = RetryPolicy(base: .zero, cap: .zero, maxAttempts: 3)
        do {
            if course.id == nil {
                course.id = try await queue.submit(Self.submission).job?.id
                course.told = .stored
            }
            guard let id = course.id else { return }
            for (claimed, ended, outcome) in [
                (Told.claimed, Told.failed, Outcome.failed()), (.claimedAgain, .completed, .answered("2")),
            ] where course.told.rawValue < ended.rawValue {
                let claim = try await queue.claim(Offer(model: "a", job: id.key))
                course.told = claimed
                guard let claim else {
                    Issue.record("the job was not there to be claimed")
                    return
                }
                try await queue.finish(claim, with: outcome, retry: retry)
                course.told = ended
            }
        } catch {
            course.error = error
        }
    }

    private func queue(_ store: JobStore) throws -> JobQueue {
        try JobQueue(
            store: store, broker: RingBroker(capacity: 8),
            models: [ModelSettings(name: "a", url: "http://127.0.0.1:1/")])
    }

    /// Runs the path on a disk with this fault, then starts on a copy of what is on the disk, as after a kill.
    ///
    /// - Returns: nil when the path had ended before the fault came.
    private func course(_ fault: FaultyDisk.Fault, at number: Int) async throws -> (course: Course, fatal: Int)? {
        let folder = try TemporaryFolder()
        let disk = FaultyDisk(folder)
        let fatal = Recording<StoreError>()
        let store = try folder.open { fatal.add($0) }
        disk.fail(fault, at: number)
        var course = Course()
        await walk(try queue(store), &course)
        guard disk.hasFailed else {
            await store.close()
            return nil
        }
        let next = try TemporaryFolder()
        for suffix in ["", "-wal"] {
            try FileManager.default.copyItem(atPath: folder.store + suffix, toPath: next.store + suffix)
        }
        try await expectPromises(next, course)
        disk.repair()
        await store.close()
        return (course, fatal.entries.count)
    }

    private func expectPromises(_ folder: TemporaryFolder, _ course: Course) async throws {
        try await withStore(in: folder) { store in
            let damage = try await store.pool.read { db in
                try String.fetchAll(db, sql: "PRAGMA integrity_check").filter { $0 != "ok" }
                    + Row.fetchAll(db, sql: "PRAGMA foreign_key_check").map(\.description)
            }
            #expect(damage == [])
            let jobs = try await store.jobs(JobFilter())
            #expect(course.id == nil || jobs.map(\.id) == [course.id], "an acknowledged job is gone")
            for job in jobs {
                let events = try #require(try await store.history(job.key, after: 0, limit: 100)).events
                #expect(events.first?.draft.text == "accepted")
                #expect(events.last?.id == job.lastEvent)
                #expect(events.last?.status == job.status)
                #expect(events.map(\.id) == events.map(\.id).sorted())
                #expect(job.status == .pending || job.status == .completed)
                #expect((job.output != nil) == (job.status == .completed))
                #expect(course.told != .completed || job.status == .completed, "an outcome was lost")
                #expect(job.attempt >= course.told.rawValue / 2, "a claim was lost")
                #expect(job.failures >= (course.told.rawValue >= Told.failed.rawValue ? 1 : 0))
                #expect(try await store.jobOf(Self.key) == job.id)
            }
        }
    }

    private static var key: IdempotencyKey { IdempotencyKey("key", contentType: nil, query: nil, body: []) }

    /// How many writes or syncs the whole path takes without a fault.
    private func steps(_ fault: FaultyDisk.Fault) async throws -> Int {
        let folder = try TemporaryFolder()
        let disk = FaultyDisk(folder)
        let store = try folder.open()
        let before = disk.counts
        var course = Course()
        await walk(try queue(store), &course)
        let after = disk.counts
        await store.close()
        #expect(course.told == .completed)
        let steps = fault == .sync ? after.syncs - before.syncs : after.writes - before.writes
        // One sync for each of submit, two claims and two outcomes; more pages than that.
        try #require(steps >= 5)
        return steps
    }

    @Test(arguments: FaultyDisk.Fault.allCases)
    func everyPromiseHoldsAfterTheNextStart(_ fault: FaultyDisk.Fault) async throws {
        let steps = try await steps(fault)
        for number in 1...steps {
            let (course, _) = try #require(try await course(fault, at: number), "step \(number) of \(steps)")
            #expect(course.error != nil, "step \(number) failed and nobody was told")
        }
    }

    @Test(arguments: [FaultyDisk.Fault.write, .sync])
    func anInputOutputErrorEndsTheStoreOnce(_ fault: FaultyDisk.Fault) async throws {
        for number in [1, try await steps(fault)] {
            let (course, fatal) = try #require(try await course(fault, at: number))
            guard case .failed = course.error as? StoreError else {
                Issue.record("step \(number): \(String(describing: course.error))")
                continue
            }
            #expect(fatal == 1)
        }
    }

    @Test
    func nothingIsWrittenAfterAnInputOutputError() async throws {
        let folder = try TemporaryFolder()
        let disk = FaultyDisk(folder)
        let store = try folder.open()
        disk.fail(.sync, at: 1)
        var course = Course()
        let queue = try queue(store)
        await walk(queue, &course)
        let before = disk.counts
        await walk(queue, &course)
        await store.checkpoint()
        #expect(disk.counts == before)
        await store.close()
    }

    @Test
    func aFullDiskIsNoEndAndThePathGoesOnOnceThereIsRoom() async throws {
        for number in 1...(try await steps(.full)) {
            let folder = try TemporaryFolder()
            let disk = FaultyDisk(folder)
            let fatal = Recording<StoreError>()
            let store = try folder.open { fatal.add($0) }
            let queue = try queue(store)
            disk.fail(.full, at: number)
            var course = Course()
            await walk(queue, &course)
            #expect(course.error as? StoreError == .full)
            #expect(fatal.entries == [])
            disk.repair()
            course.error = nil
            // A claim whose outcome found no room is given back first, as its worker would not do: it waits instead.
            if let id = course.id, case .running(let lease) = try await store.head(id)?.state {
                _ = try await store.change(
                    id.key, rank: .outcome, now: .at(.now),
                    { try $0.interrupt(lease, reason: "test", now: .at(.now)) }
                )
            }
            await walk(queue, &course)
            #expect(course.error == nil)
            #expect(course.told == .completed)
            await store.close()
        }
    }

    /// After a failed sync the row may be on the disk all the same, and come back at the next start.
    @Test(arguments: [(FaultyDisk.Fault.sync, true), (.full, false)])
    func theInputOfARefusedSubmitIsKeptOnlyIfItsRowMayComeBack(_ fault: FaultyDisk.Fault, _ isKept: Bool) async throws {
        let folder = try TemporaryFolder()
        let disk = FaultyDisk(folder)
        let store = try folder.open()
        let input = try await store.blobs.store([1], as: .input)
        var submission = Self.submission
        submission.input.content = .file(input)
        disk.fail(fault, at: 1)
        await #expect(throws: StoreError.self) { try await queue(store).submit(submission) }
        #expect(FileManager.default.fileExists(atPath: folder.path + "/blobs/" + input.text) == isKept)
        disk.repair()
        await store.close()
    }

    @Test(arguments: FaultyDisk.Fault.allCases)
    func aStartThatFailsCanBeRepeated(_ fault: FaultyDisk.Fault) async throws {
        let folder = try TemporaryFolder()
        let disk = FaultyDisk(folder)
        let job = try await withStore(in: folder) { try await $0.insert(.sample()) }
        var number = 1
        while true {
            disk.fail(fault, at: number)
            do {
                let store = try folder.open()
                disk.repair()
                await store.close()
            } catch is StoreError {
                disk.repair()
            }
            let found = try await withStore(in: folder) { try await $0.head(job.id) }
            #expect(found?.id == job.id)
            guard disk.hasFailed else { break }
            number += 1
        }
        #expect(number > 1)
    }
}
