import InferqCore
import InferqStore
import TestSupport
import Testing

@testable import InferqQueue

/// A disk on which no new job may be stored.
@Suite(.timeLimit(.minutes(10)))
struct ShortDiskTests {
    @Test
    func aSubmitIsRefusedAndAKnownKeyAnsweredWhileTheDiskIsShort() async throws {
        let folder = try TemporaryFolder()
        let store = try folder.open(models: ["a"])
        let queue = try JobQueue(
            store: store, broker: RingBroker(capacity: 8),
            models: [ModelSettings(name: "a", url: "http://127.0.0.1:1/")])
        var known = Submission(model: "a", options: Submission.Options(), input: .json("1"))
        known.key = IdempotencyKey("key", contentType: nil, query: nil, body: [])
        let job = try #require(try await queue.submit(known).job)
        store.disk.minFree = 1 << 50
        guard case .replayed(job.id) = try await queue.submit(known) else {
            Issue.record("a known key was not answered")
            return
        }
        let new = Submission(model: "a", options: Submission.Options(), input: .json("1"))
        await #expect(throws: StoreError.full) { try await queue.submit(new) }
        #expect(queue.depth(of: "a").pending == 1)
        _ = try #require(try await queue.claim(Offer(model: "a", job: job.key)), "an accepted job goes on")
        store.disk.minFree = 0
        #expect(try await queue.submit(new).job != nil)
        await store.close()
    }
}
