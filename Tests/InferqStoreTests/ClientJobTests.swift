import GRDB
import TestSupport
import Testing

@testable import InferqCore
@testable import InferqStore

/// Whose job is whose: in rows, lists, events, keys and tombstones.
@Suite(.timeLimit(.minutes(10)))
struct ClientJobTests {
    private static let key = IdempotencyKey("key", contentType: nil, query: nil, body: [])
    private static let otherRequest = IdempotencyKey("key", contentType: nil, query: nil, body: [1])
    private static let clients = ["erp", "anonymous", nil, "gis"]

    /// Sixteen jobs, one each millisecond: of four clients and of two models in turn, the first eight cancelled.
    private func withJobs(_ body: (JobStore, [Job]) async throws -> Void) async throws {
        try await withStore { store in
            var jobs: [Job] = []
            for number in 0..<16 {
                let job = Job.sample(
                    model: number % 8 < 4 ? "a" : "b", client: Self.clients[number % 4],
                    at: Job.submitted + .milliseconds(number))
                try await store.insert(job)
                if number < 8 { try await store.change(job) { $0.cancel(now: .at(.now)) } }
                jobs.append(try #require(try await store.head(job.id)))
            }
            try await body(store, jobs.reversed())
        }
    }

    private func submit(
        _ store: JobStore, _ number: Int64, _ client: String?, _ key: IdempotencyKey = key
    ) async throws -> UUIDv7 {
        switch try await store.insert(.sample(number, client: client), key: key, at: .at(Job.submitted)) {
        case .inserted(let change): change.job.id
        case .known(let id): id
        }
    }

    private func clientRows(_ store: JobStore) async throws -> [String] {
        try await store.pool.read { try String.fetchAll($0, sql: "SELECT name FROM client ORDER BY id") }
    }

    // MARK: Rows

    @Test
    func aJobKeepsItsClientAcrossAStart() async throws {
        let folder = try TemporaryFolder()
        try await withStore(in: folder) { store in
            for (number, client) in Self.clients.enumerated() {
                let job = try await store.insert(.sample(Int64(number), client: client))
                #expect(job.options.client == client)
                #expect(try await store.course(of: job.eventID)?.client == client)
            }
        }
        try await withStore(in: folder) { store in
            for (number, client) in Self.clients.enumerated() {
                #expect(try await store.job(Job.sample(Int64(number)).id)?.options.client == client)
            }
            try await store.insert(.sample(9, client: "new"))
            #expect(try await clientRows(store) == ["anonymous", "erp", "gis", "new"])
        }
    }

    @Test
    func aClientGetsItsRowWithItsFirstJobAlone() async throws {
        try await withStore { store in
            let first = try await submit(store, 0, "erp")
            await #expect(throws: KeyReused.self) { try await submit(store, 1, "erp", Self.otherRequest) }
            #expect(try await clientRows(store) == ["anonymous", "erp"])
            // A job that is there already cannot be stored: the transaction fails with all that is in it.
            await #expect(throws: (any Error).self) {
                try await store.insert(.sample(0, client: "gis"))
            }
            #expect(try await clientRows(store) == ["anonymous", "erp"])
            try await store.insert(.sample(2, client: "gis"))
            #expect(try await clientRows(store) == ["anonymous", "erp", "gis"])
            #expect(try await store.head(first)?.options.client == "erp")
            #expect(try await store.head(Job.sample(2).id)?.options.client == "gis")
        }
    }

    // MARK: Idempotency keys

    @Test
    func aKeyIsItsClientsOwn() async throws {
        try await withStore { store in
            let ids = [
                try await submit(store, 0, "erp"), try await submit(store, 1, "gis"),
                try await submit(store, 2, "anonymous"),
            ]
            #expect(ids == (0..<3).map { Job.sample($0).id })
            for (number, client) in ["erp", "gis", "anonymous"].enumerated() {
                #expect(try await submit(store, 10, client) == ids[number])
                #expect(try await store.jobOf(Self.key, client: client) == ids[number])
                await #expect(throws: KeyReused.self) { try await submit(store, 11, client, Self.otherRequest) }
            }
            #expect(try await store.jobOf(Self.key, client: "stranger") == nil)
            // Those of before there were clients are everyone's, as they were.
            #expect(try await submit(store, 12, nil) == ids[2])
        }
    }

    @Test
    func noKeyIsThatOfAnotherClientByItsText() async throws {
        try await withStore { store in
            try await store.insert(.sample(0, client: "erp"))
            let texts = try await store.pool.write { db in
                try SQL.insertKey(db, Self.key, client: 2, of: JobKey(value: 1), at: .at(.now))
                try SQL.insertKey(db, Self.key, client: 1, of: JobKey(value: 1), at: .at(.now))
                return try String.fetchAll(db, sql: "SELECT key FROM idempotency ORDER BY key")
            }
            #expect(texts == ["2 key", "key"])
            #expect(!IdempotencyKey.isValid("2 key"))
        }
    }

    // MARK: Lists

    @Test(arguments: ["erp", "anonymous", "gis"], [nil, "a", "b"])
    func aClientSelectsWithAllOtherFilters(_ client: String, _ model: String?) async throws {
        try await withJobs { store, jobs in
            for statuses: Set<Status> in [[], [.pending], [.cancelled, .pending], [.running]] {
                var filter = JobFilter()
                (filter.client, filter.model, filter.statuses, filter.limit) = (client, model, statuses, 3)
                let expected = jobs.filter { job in
                    job.options.client == client && (model == nil || job.model == model)
                        && (statuses.isEmpty || statuses.contains(job.status))
                }
                var listed: [UUIDv7] = []
                while true {
                    let page = try await store.jobs(filter)
                    listed += page.map(\.id)
                    guard let last = page.last else { break }
                    filter.before = last.key
                }
                #expect(listed == expected.map(\.id))
            }
        }
    }

    @Test
    func aPageOfAClientCountsItsJobsAlone() async throws {
        try await withJobs { store, jobs in
            for (client, model): (String, String?) in [("erp", nil), ("erp", "b"), ("anonymous", nil)] {
                let own = jobs.filter { $0.options.client == client && (model == nil || $0.model == model) }
                let page = try await store.page(of: model, client: client, skip: 1, limit: 2)
                #expect(page.keys == own.dropFirst().prefix(2).map(\.key))
                #expect(page.total == own.count)
            }
        }
    }

    @Test
    func oneWhoHasHadNoJobHasEmptyLists() async throws {
        try await withJobs { store, _ in
            var filter = JobFilter()
            filter.client = "stranger"
            #expect(try await store.jobs(filter) == [])
            let page = try await store.page(of: nil, client: "stranger", skip: 0, limit: 10)
            #expect(page == JobStore.Page(keys: [], total: 0))
            #expect(try await store.events(after: 0, of: nil, client: "stranger").entries.isEmpty)
        }
    }

    @Test
    func theListsOfAClientNeverLookAtTheJobsOfOthers() async throws {
        try await withJobs { store, _ in
            let record = Recording<String>()
            try await store.pool.read { db in
                db.trace { record.add($0.expandedDescription) }
                let span = SQL.Span(
                    keys: JobKey(value: 0)..<JobKey(value: .max),
                    created: (after: 0, before: .max), limit: 10)
                _ = try SQL.listedKeys(db, model: 1, client: 2, phase: 3, span)
                db.trace(options: [])
                let plans = try record.entries.map { sql in
                    try Row.fetchAll(db, sql: "EXPLAIN QUERY PLAN \(sql)").map { $0["detail"] as String }
                }
                #expect(
                    plans == [
                        ["SEARCH job USING INDEX job_of_client (client=? AND model=? AND phase=? AND key>? AND key<?)"]
                    ])
            }
        }
    }

    @Test
    func theIndexHasNothingOfThoseWhoAreEverybody() async throws {
        try await withJobs { store, _ in
            let count = try await store.pool.read { db in
                try Int.fetchOne(db, sql: "SELECT count(*) FROM job INDEXED BY job_of_client WHERE client > 1")
            }
            #expect(count == 8)
        }
    }

    // MARK: Events, tombstones

    @Test(arguments: ["erp", "gis", "anonymous"], [nil, "b"])
    func theEventsOfAClientAreThoseOfItsJobs(_ client: String, _ model: String?) async throws {
        try await withJobs { store, jobs in
            let all = try await store.events(after: 0, of: nil).entries
            let expected = all.filter { $0.job.options.client == client && (model == nil || $0.job.model == model) }
            let page = try await store.events(after: 0, of: model, client: client)
            #expect(page.entries.map(\.event.id) == expected.map(\.event.id))
            #expect(page.last == all.last?.event.id)
        }
    }

    @Test
    func aDeletedJobIsRememberedAsItsClients() async throws {
        try await withJobs { store, jobs in
            let own = try #require(jobs.last { $0.options.client == "erp" })
            let others = try #require(jobs.last { $0.options.client == nil })
            for job in [own, others] { #expect(try await store.delete(job.id)) }
            for id in [own.id, own.eventID] {
                #expect(try await store.isDeleted(id))
                #expect(try await store.isDeleted(id, of: "erp"))
                for client in ["gis", "anonymous", "stranger"] { #expect(try await !store.isDeleted(id, of: client)) }
            }
            #expect(try await store.isDeleted(others.id))
            #expect(try await !store.isDeleted(others.id, of: "erp"))
        }
    }

    @Test
    func whatTheRetentionRemovesIsRememberedAsItsClients() async throws {
        try await withJobs { store, jobs in
            let rule = RetentionSettings(age: .seconds(1), maxBytes: 1 << 40)
            while try await store.removeEnded(rule, now: Moment.at(.latest).certain).0.rows > 0 {}
            let own = try #require(jobs.last { $0.options.client == "gis" })
            #expect(try await store.head(own.id) == nil)
            #expect(try await store.isDeleted(own.id, of: "gis"))
            #expect(try await !store.isDeleted(own.id, of: "erp"))
        }
    }
}
