import TestSupport
import Testing

@testable import InferqCore
@testable import InferqStore

/// Lists: newest first, page by page, each filter alone and with the others.
@Suite(.timeLimit(.minutes(10)))
struct JobListTests {
    /// Twelve jobs, one each millisecond, of two models in turn; the n-th is in the n-th state of a fixed round.
    private func withJobs(_ body: (JobStore, [Job]) async throws -> Void) async throws {
        try await withStore { store in
            var jobs: [Job] = []
            for number in 0..<12 {
                let job = Job.sample(
                    model: number % 2 == 0 ? "a" : "b", at: Job.submitted + .milliseconds(number)
                )
                try await store.insert(job)
                switch number % 6 {
                case 1: try await store.claim(job)
                case 2:
                    try await store.claim(job)
                    try await store.complete(job)
                case 3:
                    try await store.claim(job)
                    try await store.change(job) { job in
                        try job.finish(
                            job.lease, with: .failed(isRetryable: false), retry: .sample, jitter: 0, now: .at(.now)
                        )
                    }
                case 4: try await store.change(job) { $0.cancel(now: .at(.now)) }
                default: break
                }
                jobs.append(try #require(try await store.head(job.id)))
            }
            try await body(store, jobs.reversed())
        }
    }

    private func expectList(
        _ expected: (Job) -> Bool,
        _ prepare: (inout JobFilter) -> Void
    ) async throws {
        try await withJobs { store, jobs in
            var filter = JobFilter()
            prepare(&filter)
            let listed = try await store.jobs(filter).map(\.id)
            #expect(listed == jobs.filter(expected).map(\.id))
            #expect(!listed.isEmpty)
        }
    }

    @Test
    func withoutAFilterAllAreListedTheNewestFirst() async throws {
        try await expectList({ _ in true }) { _ in }
    }

    @Test(arguments: Status.allCases)
    func aStatusSelects(_ status: Status) async throws {
        try await expectList({ $0.status == status }) { $0.statuses = [status] }
    }

    @Test
    func severalStatusesAreMerged() async throws {
        try await expectList({ $0.status.isFinal }) { $0.statuses = [.completed, .failed, .cancelled] }
    }

    @Test
    func aModelSelects() async throws {
        try await expectList({ $0.model == "b" }) { $0.model = "b" }
    }

    @Test
    func theTimeSelectsBetweenItsEnds() async throws {
        let shown = Set((4...7).map { Job.submitted + .milliseconds($0) })
        try await expectList({ shown.contains($0.createdAt) }) {
            $0.createdAfter = Job.submitted + .milliseconds(3)
            $0.createdBefore = Job.submitted + .milliseconds(8)
        }
    }

    @Test
    func allFiltersHoldTogether() async throws {
        try await expectList({ $0.model == "a" && $0.status == .pending && $0.createdAt > Job.submitted }) {
            $0.model = "a"
            $0.statuses = [.pending]
            $0.createdAfter = Job.submitted
        }
    }

    @Test
    func anUnknownModelHasNoJobs() async throws {
        try await withJobs { store, _ in
            var filter = JobFilter()
            filter.model = "c"
            let listed = try await store.jobs(filter)
            #expect(listed == [])
        }
    }

    @Test(arguments: [Set<Status>(), [.pending, .running, .completed]], [1, 3, 5, 100])
    func pagesTogetherAreTheWholeList(_ statuses: Set<Status>, _ limit: Int) async throws {
        try await withJobs { store, jobs in
            var filter = JobFilter()
            filter.statuses = statuses
            filter.limit = limit
            var listed: [UUIDv7] = []
            while true {
                let page = try await store.jobs(filter)
                #expect(page.count <= limit)
                listed += page.map(\.id)
                guard let last = page.last else { break }
                filter.before = last.key
            }
            #expect(listed == jobs.filter { statuses.isEmpty || statuses.contains($0.status) }.map(\.id))
        }
    }

    // MARK: The scheduler's question

    @Test
    func theDueJobsOfAModelComeByPriorityThenAge() async throws {
        try await withStore { store in
            for (number, priority) in [0, 5, -5, 5, 0].enumerated() {
                try await store.insert(.sample(Int64(number), priority: priority))
            }
            try await store.insert(.sample(5, model: "b", priority: 100))
            try await store.insert(.sample(6, priority: 100, delay: .seconds(1)))
            let due = try await store.dueJobs("a", limit: 10).map(\.key)
            #expect(due == [1, 3, 0, 4, 2].map { Job.sample($0).key })
        }
    }

    @Test
    func theNextDeadlineIsTheEarliestStartOrExpiry() async throws {
        try await withStore { store in
            let none = try await store.nextDeadline(from: .at(Job.submitted))
            try await store.insert(.sample(0, delay: .seconds(20)))
            let start = try await store.nextDeadline(from: .at(Job.submitted))
            try await store.insert(.sample(1, expiresAt: Job.submitted + .seconds(10)))
            let expiry = try await store.nextDeadline(from: .at(Job.submitted))
            #expect([none, start, expiry] == [nil, .milliseconds(20_001), .seconds(10)])
        }
    }

    @Test
    func theDepthIsCountedByModelAndPriority() async throws {
        try await withStore { store in
            for number in 0..<3 { try await store.insert(.sample(Int64(number), priority: 1)) }
            try await store.insert(.sample(3, delay: .seconds(9)))
            try await store.insert(.sample(4, model: "b"))
            try await store.claim(.sample(4))
            let counts = try store.pendingCounts().map { [$0.model, "\($0.priority)", "\($0.isDue)", "\($0.count)"] }
            #expect(counts == [["a", "1", "true", "3"], ["a", "0", "false", "1"]])
        }
    }
}
