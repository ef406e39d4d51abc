import Crypto
import Foundation
import GRDB
import TestSupport
import Testing

@testable import InferqCore
@testable import InferqStore

/// Which calls of the process before a start finds.
@Suite(.timeLimit(.minutes(10)))
struct RecentCallTests {
    /// A start so long after all of the samples.
    private static func start(after duration: Duration) -> Moment { .at(Job.submitted + duration) }

    private func ended(
        _ store: JobStore, after duration: Duration = .seconds(30), limit: Int = 10
    ) async throws -> [StoredCall] {
        try await store.recentCalls(endedWithin: .seconds(60), of: Self.start(after: duration), limit: limit).ended
    }

    @Test
    func aCallIsFoundWithTheDigestOfItsBody() async throws {
        try await withStore { store in
            let job = try await store.insert(.call())
            let found = try await store.recentCalls(
                endedWithin: .seconds(60), of: Self.start(after: .seconds(30)), limit: 10)
            #expect(found.ended.isEmpty)
            let call = try #require(found.open.first)
            #expect(call.job == job.id && call.call == job.options.call && call.model == "a")
            #expect(call.bodyDigest == Array(SHA256.hash(data: Data("{}".utf8))))
        }
    }

    @Test
    func oneThatHasEndedIsFoundForAWhile() async throws {
        try await withStore { store in
            let job = try await store.insert(.call())
            try await store.claim(job)
            try await store.complete(job)
            #expect(try await ended(store).map(\.job) == [job.id])
            #expect(try await ended(store, after: .seconds(61)).isEmpty, "its client has given up")
            #expect(
                try await ended(store, after: .seconds(-1)).isEmpty, "it ended in this process, which knows it itself")
            let open = try await store.recentCalls(endedWithin: .zero, of: Self.start(after: .zero), limit: 10).open
            #expect(open.isEmpty)
        }
    }

    @Test
    func theOldestComesFirstAndTheNewestAreKept() async throws {
        try await withStore { store in
            let jobs = try await [store.insert(.call(1)), store.insert(.call(2)), store.insert(.call(3))]
            let start = Self.start(after: .seconds(1))
            let open = try await store.recentCalls(endedWithin: .seconds(60), of: start, limit: 2).open
            #expect(open.map(\.job) == jobs.dropFirst().map(\.id))
            for job in jobs {
                try await store.claim(job)
                try await store.complete(job)
            }
            #expect(try await ended(store).map(\.job) == jobs.map(\.id))
            #expect(try await ended(store, limit: 2).count == 2)
        }
    }

    @Test
    func aNativeJobAndACancelledCallAreNot() async throws {
        try await withStore { store in
            let native = try await store.insert(.sample(1))
            try await store.claim(native)
            try await store.complete(native)
            let cancelled = try await store.insert(.call(2))
            try await store.change(cancelled) { $0.cancel(now: .at(Job.submitted)) }
            #expect(try await ended(store).isEmpty)
        }
    }

    @Test
    func oneWithoutItsBodyDoesNotHideTheOthers() async throws {
        try await withStore { store in
            var long = Job.call(1)
            long.input = .json("\"\(String(repeating: "x", count: 4096))\"")
            let (broken, sound) = try await (store.insert(long), store.insert(.call(2)))
            try await store.commits.perform(.change) { db in
                try db.execute(sql: "DELETE FROM body")
            }
            let start = Self.start(after: .zero)
            let open = try await store.recentCalls(endedWithin: .zero, of: start, limit: 10).open
            #expect(open.map(\.job) == [sound.id], "\(broken.id)")
        }
    }
}
