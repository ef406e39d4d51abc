import GRDB
import TestSupport
import Testing

@testable import InferqCore
@testable import InferqStore

/// What the retention does with files and batches, and with the jobs of batches.
@Suite(.timeLimit(.minutes(10)))
struct BatchRetentionTests {
    private static let day = Duration.seconds(86_400)
    private static let week = RetentionSettings(age: .seconds(7 * 86_400), maxBytes: 1 << 40)

    /// What files and ended jobs take.
    private func total(_ store: JobStore) async throws -> Int? {
        try await store.pool.read { try Int.fetchOne($0, sql: "SELECT bytes FROM ended") }
    }

    private func upload(_ store: JobStore, _ lifetime: Duration? = nil, client: String = "erp") async throws -> Upload {
        let blob = try await store.blobs.store([1, 2, 3], as: .input)
        let draft = JobStore.UploadDraft(
            client: client, purpose: .batch, name: "a", byteCount: 3, digest: [UInt8](repeating: 0, count: 32),
            lifetime: lifetime)
        return try await store.add(draft, in: blob)
    }

    private func batch(_ store: JobStore, of input: Upload) async throws -> Batch? {
        let terms = Batch.Terms(
            client: input.client, endpoint: "/v1/x", input: input.id, metadata: [], window: Self.day,
            outputLifetime: nil)
        guard case .added(let batch) = try await store.add(terms, limit: 10) else { return nil }
        return batch
    }

    @Test
    func aFileGoesWhenItsTimeIsOver() async throws {
        try await withStore { store in
            let now = store.clock.now.certain
            let (short, long) = (try await upload(store, .seconds(3600)), try await upload(store))
            let next = try #require(try await store.outlook(Self.week.age).next)
            #expect((.seconds(3600) ... .seconds(3660)).contains(next - now))
            _ = try await store.removeEnded(Self.week, now: now + .seconds(3599))
            #expect(try await store.upload(short.id, of: nil) != nil)
            let (step, _) = try await store.removeEnded(Self.week, now: now + .seconds(3700))
            #expect(step.uploads == 1 && step.files == [short.blob])
            #expect(try await store.upload(short.id, of: nil) == nil)
            _ = try await store.removeEnded(Self.week, now: now + .seconds(8 * 86_400))
            #expect(try await store.upload(long.id, of: nil) == nil)
            #expect(try await total(store) == 0)
        }
    }

    @Test
    func whatAnOpenBatchNeedsIsNoWork() async throws {
        try await withStore { store in
            let now = store.clock.now.certain
            let input = try await upload(store, .seconds(3600))
            let batch = try #require(try await batch(store, of: input))
            let line = Job.sample(1, batch: BatchPlace(batch: batch.id.key, line: 1))
            try await store.insert(line)
            _ = try await store.change(line.key, rank: .outcome, now: .at(Job.submitted)) {
                $0.cancel(now: .at(Job.submitted))
            }
            let later = now + .seconds(30 * 86_400)
            #expect(try await store.removeEnded(Self.week, now: later).0.rows == 0)
            #expect(try await store.outlook(Self.week.age).next == nil)
            let removal = try await store.remove(input)
            guard case .inUse = removal else {
                Issue.record("it was \(removal)")
                return
            }
            _ = try await store.end(batch.id, output: nil, errors: nil) { $0.become(.cancelled, at: $1) }
            while try await store.removeEnded(Self.week, now: later + .seconds(30 * 86_400)).0.rows > 0 {}
            #expect(try await store.batch(batch.id, of: nil) == nil)
            #expect(try await store.head(line.id) == nil)
            #expect(try await total(store) == 0)
        }
    }

    @Test
    func noMoreBatchesAreOpenThanMayBe() async throws {
        try await withStore { store in
            let input = try await upload(store)
            for _ in 0..<10 { #expect(try await batch(store, of: input) != nil) }
            #expect(try await batch(store, of: input) == nil)
            #expect(try await store.openBatches().count == 10)
        }
    }
}
