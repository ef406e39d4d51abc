import Foundation
import GRDB
import TestSupport
import Testing

@testable import InferqCore
@testable import InferqStore

/// Bodies in the rows of their jobs, and beside them.
@Suite(.timeLimit(.minutes(10)))
struct BodyTests {
    private func count(_ store: JobStore) async throws -> Int {
        try await store.pool.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM body") ?? -1 }
    }

    @Test(arguments: [1, SQL.bodyInRow, SQL.bodyInRow + 1, Payload.inlineLimit])
    func aBodyIsReadAsItWasStored(_ length: Int) async throws {
        let text = String(repeating: "7", count: length)
        let beside = length > SQL.bodyInRow ? 1 : 0
        try await withStore { store in
            let job = try await store.insert(.sample(input: .json(text)))
            try await store.insert(.sample(1))
            #expect(try await count(store) == beside)
            let claimed = try await store.change(
                job.key, rank: .change, now: .at(Job.submitted), readsInput: true
            ) { try $0.claim(now: .at(Job.submitted)) }
            #expect(claimed?.job.input.content == .inline(Array(text.utf8)))
            try await store.complete(job, text)
            #expect(try await count(store) == 2 * beside)
            let found = try #require(try await store.job(job.id))
            #expect(found.input.content == .inline(Array(text.utf8)))
            #expect(found.output?.content == .inline(Array(text.utf8)))
            let page = try await store.events(after: 0, of: nil)
            #expect(page.entries.last?.job.output?.content == .inline(Array(text.utf8)))
        }
    }

    @Test
    func aBodyGoesWithItsJob() async throws {
        let text = String(repeating: "7", count: 5000)
        try await withStore { store in
            for number in Int64(0)..<3 {
                let job = try await store.insert(.sample(number, input: .json(text)))
                try await store.claim(job)
                try await store.complete(job, text)
            }
            #expect(try await count(store) == 6)
            #expect(try await store.delete(Job.sample(0).id))
            #expect(try await count(store) == 4)
            let settings = RetentionSettings(age: .seconds(1), maxBytes: 1 << 30)
            _ = try await store.removeEnded(settings, now: Moment.at(Job.submitted).certain + .seconds(9))
            #expect(try await store.job(Job.sample(1).id) == nil)
            #expect(try await count(store) == 0)
        }
    }

    @Test
    func aBodyThatIsNotThereIsDamageForThoseWhoReadItAlone() async throws {
        try await withStore { store in
            let job = try await store.insert(.sample(input: .json(String(repeating: "7", count: 5000))))
            try await store.pool.write { try $0.execute(sql: "DELETE FROM body") }
            await #expect(throws: StoreError.damaged(reason: "a body is missing")) { try await store.job(job.id) }
            #expect(try await store.head(job.id)?.id == job.id)
            try await store.insert(.sample(1))
        }
    }

    /// What each of a job's commits writes does not grow with its input.
    @Test
    func aLongBodyIsWrittenOnce() async throws {
        let folder = try TemporaryFolder()
        try await withStore(in: folder) { store in
            let job = try await store.insert(.sample(input: .json(String(repeating: "7", count: 60_000))))
            // Nothing has been copied into the database yet, so the log is as long as what was written.
            let before = try size(folder.store + "-wal")
            #expect(before > 60_000)
            try await store.claim(job)
            try await store.complete(job)
            let grown = try size(folder.store + "-wal") - before
            #expect((1...40_000).contains(grown), "\(grown) bytes")
        }
    }

    private func size(_ path: String) throws -> Int {
        try #require(FileManager.default.attributesOfItem(atPath: path)[.size] as? Int)
    }
}
