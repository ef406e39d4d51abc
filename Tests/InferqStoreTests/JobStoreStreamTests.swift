import Foundation
import GRDB
import TestSupport
import Testing

@testable import InferqCore
@testable import InferqStore

/// Answers that come piece by piece, as the store keeps them.
@Suite(.timeLimit(.minutes(10)))
struct JobStoreStreamTests {
    private static let head = StreamHead(
        contentType: "text/event-stream", contentEncoding: nil,
        answer: AnswerHead(status: 200, headers: [HeaderField("X-Server", "mine")]))

    private func claim(_ store: JobStore, _ job: Job) async throws -> Job {
        try #require(try await store.change(job) { try $0.claim(now: .at(Job.submitted)) })
    }

    private func running(_ store: JobStore, _ job: Job = .call()) async throws -> Job {
        try await store.insert(job)
        return try await claim(store, job)
    }

    @discardableResult
    private func append(
        _ store: JobStore, _ job: Job, _ number: Int, _ start: Int, _ text: String
    ) async throws -> JobStore.Appended {
        let piece = Piece(
            number: number, start: start, bytes: Array(text.utf8), head: number == 1 ? Self.head : nil)
        return try await store.append(piece, to: job.key, job.lease) { _ in }
    }

    private func text(_ store: JobStore, _ job: Job, attempt: Int, from byte: Int) async throws -> String {
        let cursor = StreamCursor(PieceRun(job: job.key, attempt: attempt), byte: byte)
        let page = try #require(try await store.page(at: cursor, byteLimit: 1 << 20))
        return String(decoding: page.bytes, as: UTF8.self)
    }

    @Test
    func everyByteOfEveryAttemptIsFound() async throws {
        try await withStore { store in
            var job = try await running(store)
            var texts: [String] = []
            for attempt in 1...3 {
                var text = ""
                for number in 1...20 {
                    let piece = String(repeating: Character("\(attempt)"), count: number % 3 + 1) + "."
                    try await append(store, job, number, text.count, piece)
                    text += piece
                    // The ids of a job have gaps: others come between.
                    if number.isMultiple(of: 5) { try await store.insert(.sample(Int64(attempt * 100 + number))) }
                }
                texts.append(text)
                try await store.change(job) { try $0.interrupt($0.lease, reason: "a test", now: .at(Job.submitted)) }
                job = try await claim(store, job)
            }
            for (index, text) in texts.enumerated() {
                for byte in 0...text.count {
                    let found = try await self.text(store, job, attempt: index + 1, from: byte)
                    #expect(found == String(text.dropFirst(byte)))
                }
            }
            #expect(try await store.reach(of: PieceRun(job: job.key, attempt: 4)) == nil)
            let second = try #require(try await store.reach(of: PieceRun(job: job.key, attempt: 2)))
            #expect(second == StreamReach(attempt: 2, byteCount: texts[1].count, pieceCount: 20))
            #expect(try await store.streamHead(of: PieceRun(job: job.key, attempt: 3)) == Self.head)
        }
    }

    @Test
    func aPieceIsStoredOnceAndInItsOrder() async throws {
        try await withStore { store in
            let job = try await running(store)
            guard case .stored(let first) = try await append(store, job, 1, 0, "ab") else { Issue.record(); return }
            guard case .known = try await append(store, job, 1, 0, "ab") else { Issue.record(); return }
            guard case .stored(let second) = try await append(store, job, 2, 2, "c") else { Issue.record(); return }
            #expect(first < second)
            guard case .gap(end: 3) = try await append(store, job, 3, 4, "e") else { Issue.record(); return }
            #expect(try await text(store, job, attempt: 1, from: 0) == "abc")
        }
    }

    @Test
    func whatIsOverTakesNoMore() async throws {
        try await withStore { store in
            let job = try await running(store)
            try await append(store, job, 1, 0, "a")
            try await store.change(job) { $0.cancel(now: .at(Job.submitted)) }
            guard case .attemptOver = try await append(store, job, 2, 1, "b") else { Issue.record(); return }
            let stored = try #require(try await store.job(job.id))
            let output = try #require(stored.output, "a call that was cancelled keeps what came")
            #expect(output.byteCount == 1 && output.contentType == "text/event-stream" && output.head?.status == 200)
            #expect(try await store.bytes(of: output) == Array("a".utf8))
        }
    }

    @Test
    func aNativeJobThatWasCancelledShowsNoOutput() async throws {
        try await withStore { store in
            let job = try await running(store, .sample())
            try await append(store, job, 1, 0, "a")
            try await store.change(job) { $0.cancel(now: .at(Job.submitted)) }
            #expect(try await store.job(job.id)?.output == nil)
            #expect(try await text(store, job, attempt: 1, from: 0) == "a")
        }
    }

    @Test
    func theRestIsStoredWithTheOutcome() async throws {
        try await withStore { store in
            let job = try await running(store)
            try await append(store, job, 1, 0, "ab")
            var payload = Payload(
                content: .pieces(PieceRun(job: job.key, attempt: 1)), byteCount: 3, contentType: "x/y", form: .text)
            payload.head = Self.head.answer
            var answer = Outcome.Answer(payload: payload, layers: .none)
            answer.rest = Piece(number: 2, start: 2, bytes: Array("c".utf8), head: nil)
            let outcome = Outcome.answered(answer)
            try await store.change(job, .outcome) { job in
                try job.finish(job.lease, with: outcome, retry: .sample, jitter: 0, now: .at(Job.submitted))
            }
            let stored = try #require(try await store.job(job.id))
            let output = try #require(stored.output)
            #expect(try await store.bytes(of: output) == Array("abc".utf8))
            let history = try #require(
                try await store.historyWithOutput(job.key, after: 0, limit: 100, byteLimit: 1 << 20))
            #expect(history.events.map(\.kind) == [.updated, .updated, .output, .output, .updated])
            #expect(history.events.map(\.id) == history.events.map(\.id).sorted())
            #expect(history.isAtEnd)
            #expect(try await store.history(job.key, after: 0, limit: 100)?.events.count == 3)
        }
    }

    @Test(arguments: [1, 2, 3, 7])
    func eventsAndPiecesCanBeReadFromAnyIDOn(_ limit: Int) async throws {
        try await withStore { store in
            let job = try await running(store)
            for number in 1...6 {
                try await append(store, job, number, number - 1, "x")
                if number.isMultiple(of: 2) {
                    let report = Report(detail: Array("{}".utf8), layers: nil)
                    try await store.change(job) { try $0.report($0.lease, report, limit: 10) }
                }
            }
            let whole = try #require(try await store.historyWithOutput(job.key, after: 0, limit: 99, byteLimit: .max))
            let ids = whole.events.map(\.id)
            #expect(ids.count == 11)
            for start in [0] + ids {
                var cursor = start
                var found: [Int64] = []
                while true {
                    let page = try #require(
                        try await store.historyWithOutput(job.key, after: cursor, limit: limit, byteLimit: .max))
                    #expect(page.events.count <= limit)
                    found += page.events.map(\.id)
                    guard let last = page.last, page.hasMore else { break }
                    cursor = last
                }
                #expect(found == ids.filter { $0 > start })
            }
        }
    }

    @Test(arguments: [1, 16, 100, 1000])
    func noEventIsPassedOverForThoseThatAreLarge(_ byteLimit: Int) async throws {
        try await withStore { store in
            let job = try await running(store)
            for number in 1...6 {
                let report = Report(detail: Array(#"{"a":"\#(String(repeating: "x", count: 200))"}"#.utf8), layers: nil)
                try await store.change(job) { try $0.report($0.lease, report, limit: 10) }
                try await append(store, job, number, number - 1, "x")
            }
            var cursor: Int64 = 0
            var kinds: [JobEvent.Kind] = []
            while let page = try await store.historyWithOutput(job.key, after: cursor, limit: 99, byteLimit: byteLimit),
                let last = page.last
            {
                kinds += page.events.map(\.kind)
                cursor = last
            }
            #expect(kinds.count { $0 == .progress } == 6 && kinds.count { $0 == .output } == 6)
        }
    }

    @Test
    func nothingComesAfterTheLargestID() async throws {
        try await withStore { store in
            let job = try await running(store)
            try await append(store, job, 1, 0, "x")
            let history = try await store.historyWithOutput(job.key, after: .max, limit: 9, byteLimit: .max)
            #expect(history?.events.isEmpty == true && history?.hasMore == false)
        }
    }

    @Test
    func aStartTellsWhatWasShownBeforeACrash() async throws {
        let folder = try TemporaryFolder()
        let job = Job.call()
        try await withStore(in: folder) { store in
            let job = try await running(store, job)
            try await append(store, job, 1, 0, "ab")
            try await append(store, job, 2, 2, "c")
        }
        try await withStore(in: folder) { store in
            let history = try #require(try await store.history(job.key, after: 0, limit: 10))
            #expect(history.events.last?.status == .pending)
            let shown = history.events.last?.draft.detail.map { String(decoding: $0, as: UTF8.self) }
            #expect(shown == #"{"attempt":1,"bytes":3,"pieces":2}"#)
            #expect(try await text(store, job, attempt: 1, from: 1) == "bc")
        }
    }

    @Test
    func whatAJobTakesIsCountedAndGivenBack() async throws {
        try await withStore { store in
            let job = try await running(store)
            for number in 1...200 {
                try await append(store, job, number, (number - 1) * 1000, String(repeating: "x", count: 1000))
            }
            try await store.change(job) { $0.cancel(now: .at(Job.submitted)) }
            let taken = try await store.pool.read { try SQL.endedTotal($0) }
            #expect(taken.jobs == 1 && (200_000 + 200 * 64...220_000).contains(taken.bytes))
            let settings = RetentionSettings(age: .milliseconds(1), maxBytes: 1 << 30)
            let later = Moment.at(Job.submitted + .seconds(100_000)).certain
            var steps = 0
            while try await store.removeEnded(settings, now: later).0.rows > 0 { steps += 1 }
            #expect(steps > 1, "so many rows do not go at once")
            let left = try await store.pool.read { db in
                (try SQL.endedTotal(db), try Int.fetchOne(db, sql: "SELECT count(*) FROM piece"))
            }
            #expect(left.0 == (0, 0) && left.1 == 0)
        }
    }
}
