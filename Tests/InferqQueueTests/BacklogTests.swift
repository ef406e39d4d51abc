import TestSupport
import Testing

@testable import InferqCore
@testable import InferqQueue
@testable import InferqStore

/// What each client has in the queue, and how much it may have.
@Suite(.timeLimit(.minutes(10)))
struct BacklogTests: Sendable {
    private static let erp = caller("erp")
    private static let gis = caller("gis")
    private static let operatorCaller = Caller("ops", [.readAll, .operate], Caller.Limits())

    private static func caller(_ name: String, maxPending: Int = 0) -> Caller {
        var limits = Caller.Limits()
        limits.maxPending = maxPending
        return Caller(name, [.submit, .read], limits)
    }

    private func withQueue(limit: Int = 10, _ body: (JobQueue) async throws -> Void) async throws {
        try await withStore { store in try await body(try queue(store, limit)) }
    }

    private func queue(_ store: JobStore, _ limit: Int = 10) throws -> JobQueue {
        let models = ["a", "b"].map { name in
            var model = ModelSettings(name: name, url: "http://127.0.0.1:1/")
            model.queueLimit = limit
            return model
        }
        return try JobQueue(store: store, broker: RingBroker(capacity: 8), models: models)
    }

    @discardableResult
    private func submit(
        _ queue: JobQueue, _ caller: Caller, model: String = "a", priority: Int = 0, key: IdempotencyKey? = nil
    ) async throws -> Job {
        var options = Submission.Options()
        options.kept.priority = priority
        var submission = Submission(model: model, options: options, input: .json("1"))
        submission.caller = caller
        submission.key = key
        switch try await queue.submit(submission) {
        case .stored(let change): return change.job
        case .replayed(let id): return try #require(try await queue.store.head(id))
        }
    }

    /// Submits until it is refused.
    private func flood(_ queue: JobQueue, _ caller: Caller, model: String = "a") async throws -> JobQueue.Refusal {
        while true {
            do {
                try await submit(queue, caller, model: model)
            } catch let refusal as JobQueue.Refusal {
                return refusal
            }
        }
    }

    /// - Returns: how many were stored.
    private func submitAtOnce(_ queue: JobQueue, _ caller: Caller, _ count: Int) async -> Int {
        await withTaskGroup(of: Int.self) { group in
            for number in 0..<count {
                group.addTask {
                    do {
                        try await submit(queue, caller, model: number % 2 == 0 ? "a" : "b")
                        return 1
                    } catch {
                        return 0
                    }
                }
            }
            return await group.reduce(0, +)
        }
    }

    private func bound(_ refusal: JobQueue.Refusal) -> ClientBound? {
        if case .clientLimit(let bound, _) = refusal { bound } else { nil }
    }

    private func figures(_ queue: JobQueue) -> [String: [Int]] {
        queue.clientFigures().mapValues { [$0.pending, $0.running] }
    }

    // MARK: Figures

    @Test
    func everyClientHasItsOwnFigures() async throws {
        try await withQueue { queue in
            let first = try await submit(queue, Self.erp)
            try await submit(queue, Self.erp, model: "b")
            try await submit(queue, Self.gis)
            try await submit(queue, .anonymous)
            #expect(figures(queue) == ["erp": [2, 0], "gis": [1, 0], "anonymous": [1, 0]])
            _ = try #require(try await queue.claim(Offer(model: "a", job: first.key)))
            #expect(figures(queue) == ["erp": [1, 1], "gis": [1, 0], "anonymous": [1, 0]])
            let shown = try await queue.modelFigures(for: Self.erp)
            #expect(shown.map(\.pending) == [0, 1] && shown.map(\.running) == [1, 0])
            #expect(shown[0].oldestPending == nil && shown[1].oldestPending != nil)
            for caller in [Caller.anonymous, .local, .admin, Self.operatorCaller] {
                let all = try await queue.modelFigures(for: caller)
                #expect(all.map(\.pending) == [2, 1] && all.map(\.running) == [1, 0])
            }
            #expect(queue.depth(of: "a", for: Self.gis).pending == 1)
            _ = try await queue.cancel(first.id)
            #expect(figures(queue) == ["erp": [1, 0], "gis": [1, 0], "anonymous": [1, 0]])
            #expect(queue.rate(of: "a", for: Self.erp) > 0)
            #expect(queue.rate(of: "a", for: Self.gis) == 0)
        }
    }

    @Test
    func aStartCountsWhatItFinds() async throws {
        let folder = try TemporaryFolder()
        try await withStore(in: folder) { store in
            let queue = try queue(store)
            for caller in [Self.erp, Self.erp, Self.gis, .anonymous] { try await submit(queue, caller) }
            try await submit(queue, Self.erp, model: "b", priority: 5)
            try await store.insert(.sample(1))
            let ended = try await submit(queue, Self.gis)
            _ = try await queue.cancel(ended.id)
        }
        try await withStore(in: folder) { store in
            let queue = try queue(store)
            #expect(figures(queue) == ["erp": [3, 0], "gis": [1, 0], "anonymous": [2, 0]])
            #expect(queue.depth(of: "a").pending == 5)
            let newest = try await submit(queue, Self.erp, model: "b", priority: 4)
            #expect(queue.aheadOfNewest(newest, for: Self.erp) == 1)
        }
    }

    @Test
    func aheadOfAJobAreItsClientsOwn() async throws {
        try await withQueue(limit: 100) { queue in
            for _ in 0..<3 { try await submit(queue, Self.gis, priority: 1) }
            try await submit(queue, Self.erp)
            try await submit(queue, Self.gis)
            try await submit(queue, Self.erp, priority: -1)
            let job = try await submit(queue, Self.erp)
            try await submit(queue, Self.erp, priority: 9)
            #expect(try await queue.ahead(of: job, for: Self.erp) == 2)
            #expect(try await queue.ahead(of: job, for: .anonymous) == 6)
            #expect(queue.aheadOfNewest(job, for: Self.erp) == 2)
            #expect(queue.aheadOfNewest(job) == 6)
        }
    }

    // MARK: Limits

    @Test
    func aFlooderLeavesRoomForEverybodyElse() async throws {
        try await withQueue(limit: 16) { queue in
            let first = try await flood(queue, Self.erp)
            #expect(first == .clientLimit(.share(pending: 8, free: 8), retryAfter: 10))
            let second = try await flood(queue, Self.gis)
            #expect(second == .clientLimit(.share(pending: 4, free: 4), retryAfter: 10))
            for name in ["c", "d"] { try await submit(queue, Self.caller(name)) }
            let other = try await flood(queue, Self.erp, model: "b")
            #expect(other == first)
        }
    }

    @Test
    func everybodyTogetherMayFillTheQueue() async throws {
        try await withQueue(limit: 4) { queue in
            for caller in [Caller.anonymous, Self.erp] {
                let refusal = try await flood(queue, caller)
                #expect(refusal == .queueFull(limit: 4, retryAfter: 10))
            }
        }
    }

    @Test
    func aClientsOwnLimitHoldsOverAllModels() async throws {
        try await withQueue(limit: 100) { queue in
            let caller = Self.caller("erp", maxPending: 3)
            let first = try await submit(queue, caller)
            try await submit(queue, caller, model: "b")
            for model in ["a", "b"] {
                let refusal = try await flood(queue, caller, model: model)
                #expect(refusal == .clientLimit(.own(3), retryAfter: 10))
            }
            _ = try await queue.cancel(first.id)
            try await submit(queue, caller, model: "b")
            let refusal = try await flood(queue, caller)
            #expect(bound(refusal) == .own(3))
        }
    }

    @Test
    func aRepeatedRequestIsAnsweredPastTheLimit() async throws {
        try await withQueue { queue in
            let caller = Self.caller("erp", maxPending: 1)
            let key = IdempotencyKey("key", contentType: nil, query: nil, body: [])
            let job = try await submit(queue, caller, key: key)
            #expect(try await submit(queue, caller, key: key).id == job.id)
            await #expect(throws: JobQueue.Refusal.clientLimit(.own(1), retryAfter: 10)) {
                try await submit(queue, caller)
            }
            #expect(figures(queue) == ["erp": [1, 0]])
        }
    }

    @Test
    func concurrentSubmitsNeverPassTheLimit() async throws {
        try await withQueue(limit: 1000) { queue in
            let caller = Self.caller("erp", maxPending: 7)
            let stored = await submitAtOnce(queue, caller, 64)
            #expect(stored == 7)
            #expect(figures(queue) == ["erp": [7, 0]])
        }
    }

    // MARK: Retries

    @Test
    func aRetryStaysWithItsClientAndCountsThere() async throws {
        try await withQueue { queue in
            let caller = Self.caller("erp", maxPending: 1)
            let job = try await submit(queue, caller)
            _ = try await queue.cancel(job.id)
            let own = try #require(try await queue.retry(job.id, by: caller))
            #expect(own.options.client == "erp")
            let refusal = await #expect(throws: JobQueue.Refusal.self) {
                try await queue.retry(job.id, by: caller)
            }
            #expect(refusal.flatMap(bound) == .own(1))
            // An operator may, whatever is pending.
            let others = try #require(try await queue.retry(job.id, by: Self.operatorCaller))
            #expect(others.options.client == "erp")
            #expect(figures(queue) == ["erp": [2, 0]])
        }
    }

    @Test
    func aRetryOfAJobOfBeforeStaysNobodys() async throws {
        try await withQueue { queue in
            let job = try await queue.store.insert(.sample(1))
            _ = try await queue.cancel(job.id)
            let retried = try #require(try await queue.retry(job.id, by: Self.operatorCaller))
            #expect(retried.options.client == nil)
        }
    }
}
