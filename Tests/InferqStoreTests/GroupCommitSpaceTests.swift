import GRDB
import Synchronization
import TestSupport
import Testing

@testable import InferqCore
@testable import InferqStore

/// A full disk: `max_page_count` gives the very error that one gives, SQLITE_FULL, and rolls back as one does.
@Suite(.timeLimit(.minutes(10)))
struct GroupCommitSpaceTests {
    /// - Parameter pages: room that is left.
    private func bed(pages: Int) async throws -> CommitBed {
        let bed = try CommitBed()
        try await bed.leave(pages: pages)
        return bed
    }

    @Test
    func anOperationThatFindsNoRoomIsToldSo() async throws {
        let bed = try await bed(pages: 4)
        await #expect(throws: StoreError.full) {
            try await bed.commits.perform(.submit, CommitBed.insert("large", byteCount: 10 * 4096))
        }
        #expect(try await bed.texts() == [])
    }

    @Test
    func neighborsOfAnOperationThatFindsNoRoomAreKept() async throws {
        let bed = try await bed(pages: 4)
        let outcomes = try await bed.together([
            { _ = try await $0.perform(.submit, CommitBed.insert("first")) },
            { _ = try await $0.perform(.submit, CommitBed.insert("large", byteCount: 10 * 4096)) },
            { _ = try await $0.perform(.submit, CommitBed.insert("last")) },
        ])
        #expect(outcomes.map { $0.error as? StoreError } == [nil, .full, nil])
        #expect(try await bed.texts() == ["first", "last"])
    }

    @Test
    func outcomesGoFirstWhenThereIsRoomForOneOnly() async throws {
        let bed = try await bed(pages: 14)
        let outcomes = try await bed.together([
            { _ = try await $0.perform(.submit, CommitBed.insert("submit", byteCount: 10 * 4096)) },
            { _ = try await $0.perform(.change, CommitBed.insert("change", byteCount: 10 * 4096)) },
            { _ = try await $0.perform(.outcome, CommitBed.insert("outcome", byteCount: 10 * 4096)) },
        ])
        #expect(outcomes.map { $0.error as? StoreError } == [.full, .full, nil])
        #expect(try await bed.texts() == ["outcome"])
    }

    @Test
    func theRoomThatWasMadeForAnOutcomeIsNotForASubmitBesideIt() async throws {
        let hasMadeRoom = Mutex(false)
        let bed = try CommitBed(onFull: {
            hasMadeRoom.withLock { had in
                defer { had = true }
                return !had
            }
        })
        try await bed.leave(pages: 4)
        let outcomes = try await bed.together([
            { _ = try await $0.perform(.submit, CommitBed.insert("submit")) },
            {
                _ = try await $0.perform(.outcome) { db in
                    if hasMadeRoom.withLock({ $0 }) { try db.execute(sql: "PRAGMA max_page_count = 1000") }
                    return try CommitBed.insert("outcome", byteCount: 10 * 4096)(db)
                }
            },
        ])
        #expect(outcomes.map { $0.error as? StoreError } == [.full, nil])
        #expect(try await bed.texts() == ["outcome"])
    }

    @Test
    func workGoesOnOnceThereIsRoomAgain() async throws {
        let bed = try await bed(pages: 0)
        await #expect(throws: StoreError.full) {
            try await bed.commits.perform(.submit, CommitBed.insert("one", byteCount: 4096))
        }
        try await bed.leave(pages: 100)
        _ = try await bed.commits.perform(.submit, CommitBed.insert("one", byteCount: 4096))
        #expect(try await bed.texts() == ["one"])
    }
}

extension CommitBed {
    /// Lets the database grow by so many pages and no more.
    func leave(pages: Int) async throws {
        try await pool.writeWithoutTransaction { db in
            let count = try Int.fetchOne(db, sql: "PRAGMA page_count") ?? 0
            try db.execute(sql: "PRAGMA max_page_count = \(count + pages)")
        }
    }
}
