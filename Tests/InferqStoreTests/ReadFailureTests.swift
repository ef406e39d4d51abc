import Foundation
import GRDB
import TestSupport
import Testing

@testable import InferqCore
@testable import InferqStore

/// A disk that cannot read what it has: said as what it is, and never as damage.
@Suite(.timeLimit(.minutes(10)))
struct ReadFailureTests {
    private let folder: TemporaryFolder
    private let input = Payload.json("\"" + String(repeating: "x", count: 20_000) + "\"")

    init() throws {
        folder = try TemporaryFolder()
    }

    /// Runs `body` with a store whose pages no one has read yet, and these files unreadable.
    private func withUnreadable(
        _ suffixes: [String],
        _ fatal: Recording<StoreError> = Recording(),
        _ body: (JobStore, [Job]) async throws -> Void
    ) async throws {
        var jobs: [Job] = []
        try await withStore(in: folder) { store in
            for number in 0..<20 { jobs.append(try await store.insert(.sample(Int64(number), input: input))) }
        }
        let store = try folder.open { fatal.add($0) }
        jobs.append(try await store.insert(.sample(100, input: input)))
        try await UnreadableFiles.during(suffixes.map { folder.store + $0 }) { try await body(store, jobs) }
        await store.close()
    }

    private func expectFailure(_ read: () async throws -> Void) async {
        do {
            try await read()
            Issue.record("it was read")
        } catch StoreError.failed {
        } catch {
            Issue.record("\(error)")
        }
    }

    @Test
    func aPageThatCannotBeReadIsAFailureAndTheStoreGoesOn() async throws {
        let fatal = Recording<StoreError>()
        try await withUnreadable([""], fatal) { store, jobs in
            await expectFailure { _ = try await store.job(jobs[3].id) }
            await expectFailure { _ = try await store.jobs(JobFilter()) }
            #expect(fatal.entries == [])
        }
        let jobs = try await withStore(in: folder) { try await $0.jobs(JobFilter()) }
        #expect(jobs.count == 21)
    }

    @Test
    func aLogThatCannotBeReadIsAFailure() async throws {
        try await withUnreadable(["-wal"]) { store, jobs in
            await expectFailure { _ = try await store.job(jobs[20].id) }
        }
    }

    @Test
    func aChangeOfAJobThatCannotBeReadEndsTheStoreAsAFailure() async throws {
        let fatal = Recording<StoreError>()
        try await withUnreadable([""], fatal) { store, jobs in
            await expectFailure { try await store.claim(jobs[3]) }
            guard case .failed = fatal.entries.first, fatal.entries.count == 1 else {
                Issue.record("\(fatal.entries)")
                return
            }
        }
    }

    @Test
    func aStartThatCannotReadIsAFailure() async throws {
        try await withStore(in: folder) { store in
            for number in 0..<20 { try await store.insert(.sample(Int64(number), input: input)) }
        }
        await UnreadableFiles.during([folder.store]) {
            await expectFailure { _ = try folder.open() }
        }
    }

    @Test
    func aCheckThatCannotReadFindsNoDamage() async throws {
        try await withStore(in: folder) { store in
            for number in 0..<20 { try await store.insert(.sample(Int64(number), input: input)) }
        }
        let idle = try IdleStore(path: folder.store)
        await UnreadableFiles.during([folder.store]) {
            await expectFailure { _ = try await idle.check() }
        }
        #expect(try await idle.check().problems == [])
    }

    // MARK: Files of bodies

    private func payload(_ name: BlobName) -> Payload {
        Payload(content: .file(name), byteCount: 2, contentType: nil, form: .bytes)
    }

    @Test
    func theFileOfABodyThatIsGoneIsDamageOnlyWhileARowNamesIt() async throws {
        try await withStore(in: folder) { store in
            let name = try await store.blobs.store([1, 2], as: .input)
            let job = try await store.insert(.sample(input: payload(name)))
            await store.blobs.remove(name)
            await #expect(throws: StoreError.damaged(reason: "the file of a body is missing")) {
                try await store.bytes(of: payload(name))
            }
            try await store.change(job) { $0.cancel(now: .at(Job.submitted)) }
            try await store.commits.perform(.change) { db in
                try SQL.deleteJob(db, job, at: Moment.at(Job.submitted).certain)
            }
            #expect(try await store.head(job.id) == nil)
            await #expect(throws: StoreError.gone) { try await store.bytes(of: payload(name)) }
        }
    }
}
