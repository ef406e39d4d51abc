import Foundation
import GRDB
import Synchronization
import TestSupport
import Testing

@testable import InferqCore
@testable import InferqStore

/// A table to write to, beside nothing else.
struct CommitBed: Sendable {
    let folder: TemporaryFolder
    let pool: DatabasePool
    let commits: GroupCommit

    init(checkpointBytes: Int = 16 << 20, onFull: @escaping @Sendable () -> Bool = { false }) throws {
        folder = try TemporaryFolder()
        pool = try DatabasePool(path: folder.path + "/test.db")
        try pool.write { db in
            try db.execute(
                sql: """
                    CREATE TABLE note (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT NOT NULL UNIQUE, bytes BLOB)
                    """
            )
        }
        commits = GroupCommit(pool: pool, checkpointBytes: checkpointBytes, onFull: onFull) { _ in }
    }

    /// Writes one row and returns its number.
    static func insert(_ text: String, byteCount: Int = 0) -> @Sendable (Database) throws -> Int64 {
        { db in
            try db.execute(
                sql: "INSERT INTO note (text, bytes) VALUES (?, ?)",
                arguments: [text, Data(repeating: 7, count: byteCount)]
            )
            return db.lastInsertedRowID
        }
    }

    /// What is on disk, in the order of the writing.
    func texts() async throws -> [String] {
        try await pool.read { try String.fetchAll($0, sql: "SELECT text FROM note ORDER BY id") }
    }

    /// Runs all operations in one batch, enqueued in this order, and returns what became of each.
    func together(_ operations: [@Sendable (GroupCommit) async throws -> Void]) async throws -> [Outcome] {
        try await withThrowingTaskGroup(of: (index: Int, outcome: Outcome)?.self) { group in
            let begun = Bell()
            let held = Mutex(0)
            group.addTask {
                try await commits.perform(.outcome) { _ in
                    begun.ring(.event)
                    try hold { held.withLock { $0 } == operations.count }
                }
                return nil
            }
            _ = await begun.wait()
            for (index, operation) in operations.enumerated() {
                let asked = Bell()
                group.addTask { [commits] in
                    asked.ring(.event)
                    do {
                        try await operation(commits)
                        return (index, .done)
                    } catch {
                        return (index, .threw(error))
                    }
                }
                _ = await asked.wait()
                try await yield { commits.waitingCount == index + 1 }
            }
            held.withLock { $0 = operations.count }
            var outcomes: [Int: Outcome] = [:]
            for try await case .some(let ended) in group { outcomes[ended.index] = ended.outcome }
            return operations.indices.compactMap { outcomes[$0] }
        }
    }

    /// Returns once `condition` is met, which another task sees to.
    private func yield(until condition: () -> Bool) async throws {
        let deadline = ContinuousClock.now + .seconds(20)
        while !condition() {
            guard ContinuousClock.now < deadline else { throw NothingCame() }
            await Task.yield()
        }
    }

    /// Holds the calling thread, the writer's, until `condition` is met.
    private func hold(until condition: () -> Bool) throws {
        let deadline = ContinuousClock.now + .seconds(20)
        while !condition() {
            guard ContinuousClock.now < deadline else { throw NothingCame() }
            sched_yield()
        }
    }

    struct NothingCame: Error {}

    enum Outcome: Sendable {
        case done
        case threw(any Error)

        var isDone: Bool { if case .done = self { true } else { false } }

        var error: (any Error)? { if case .threw(let error) = self { error } else { nil } }
    }
}

/// What an operation of a test refuses with.
struct Refused: Error, Equatable {}

@Suite(.timeLimit(.minutes(10)))
struct GroupCommitTests {
    @Test
    func operationsThatWaitShareOneTransaction() async throws {
        let bed = try CommitBed()
        let outcomes = try await bed.together(
            (0..<10).map { number in { _ = try await $0.perform(.change, CommitBed.insert("\(number)")) } }
        )
        #expect(outcomes.allSatisfy { $0.isDone })
        // The one that held the writer, and the ten.
        #expect(bed.commits.figures == GroupCommit.Figures(commits: 2, operations: 11, largestCommit: 10))
    }

    @Test
    func anOperationThatFailsBeforeItWritesLeavesItsNeighborsAlone() async throws {
        let bed = try CommitBed()
        let outcomes = try await bed.together([
            { _ = try await $0.perform(.change, CommitBed.insert("first")) },
            { try await $0.perform(.change) { _ in throw Refused() } },
            { _ = try await $0.perform(.change, CommitBed.insert("last")) },
        ])
        #expect(outcomes.map(\.isDone) == [true, false, true])
        #expect(outcomes[1].error as? Refused == Refused())
        #expect(try await bed.texts() == ["first", "last"])
    }

    @Test
    func anOperationThatFailsAfterItHasWrittenTakesOnlyItsOwnAlong() async throws {
        let bed = try CommitBed()
        let outcomes = try await bed.together([
            { _ = try await $0.perform(.change, CommitBed.insert("first")) },
            {
                try await $0.perform(.change) { db in
                    _ = try CommitBed.insert("half")(db)
                    throw Refused()
                }
            },
            { _ = try await $0.perform(.change, CommitBed.insert("last")) },
        ])
        #expect(outcomes.map(\.isDone) == [true, false, true])
        #expect(try await bed.texts() == ["first", "last"])
    }

    @Test
    func aBrokenConstraintIsTheErrorOfItsOperationAlone() async throws {
        let bed = try CommitBed()
        let outcomes = try await bed.together(
            ["a", "b", "a", "c"].map { text in { _ = try await $0.perform(.change, CommitBed.insert(text)) } }
        )
        #expect(outcomes.map(\.isDone) == [true, true, false, true])
        #expect((outcomes[2].error as? DatabaseError)?.resultCode == .SQLITE_CONSTRAINT)
        #expect(try await bed.texts() == ["a", "b", "c"])
    }

    @Test
    func everyOtherOperationMayFail() async throws {
        let bed = try CommitBed()
        let outcomes = try await bed.together(
            (0..<100).map { number in
                { commits in
                    try await commits.perform(.change) { db in
                        if number % 4 == 1 { throw Refused() }
                        _ = try CommitBed.insert("\(number)")(db)
                        if number % 4 == 3 { throw Refused() }
                    }
                }
            }
        )
        #expect(outcomes.map(\.isDone) == (0..<100).map { $0 % 2 == 0 })
        #expect(Set(try await bed.texts()) == Set(stride(from: 0, to: 100, by: 2).map { "\($0)" }))
    }

    @Test
    func anOperationWhoseRequesterIsCancelledIsCommittedWithItsNeighbors() async throws {
        let bed = try CommitBed()
        let outcomes = try await bed.together([
            { _ = try await $0.perform(.change, CommitBed.insert("first")) },
            { commits in
                await withTaskGroup(of: Void.self) { group in
                    group.cancelAll()
                    group.addTask {
                        do {
                            _ = try await commits.perform(.change, CommitBed.insert("cancelled"))
                        } catch {
                            Issue.record(error)
                        }
                    }
                }
            },
            { _ = try await $0.perform(.change, CommitBed.insert("last")) },
        ])
        #expect(outcomes.allSatisfy { $0.isDone })
        #expect(try await bed.texts() == ["first", "cancelled", "last"])
    }

    @Test
    func aRequesterThatIsCancelledWhileItWaitsTakesNothingAlong() async throws {
        let bed = try CommitBed()
        let outcomes = try await bed.together([
            { _ = try await $0.perform(.change, CommitBed.insert("first")) },
            { commits in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        _ = try await commits.perform(.change, CommitBed.insert("cancelled"))
                    }
                    group.cancelAll()
                    try await group.waitForAll()
                }
            },
        ])
        #expect(outcomes.allSatisfy { $0.isDone })
        #expect(try await bed.texts() == ["first", "cancelled"])
    }

    @Test
    func commitsAreToldInTheirOrder() async throws {
        let bed = try CommitBed()
        let told = Recording<Int64>()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<200 {
                group.addTask {
                    _ = try await bed.commits.perform(
                        .change,
                        then: { told.add($0) },
                        CommitBed.insert("\(number)")
                    )
                }
            }
            try await group.waitForAll()
        }
        #expect(told.entries == Array(1...200))
    }

    @Test
    func aCommitIsOnDiskWhenItIsTold() async throws {
        let bed = try CommitBed()
        let seen = Recording<Int?>()
        _ = try await bed.commits.perform(
            .change,
            then: { _ in
                do {
                    seen.add(try bed.pool.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM note") })
                } catch {
                    Issue.record(error)
                }
            },
            CommitBed.insert("one")
        )
        #expect(seen.entries == [1])
    }

    @Test
    func aThousandAtOnceAllGetTheirResultsFromFewerCommits() async throws {
        let bed = try CommitBed()
        let numbers = try await withThrowingTaskGroup(of: Int64.self) { group in
            for number in 0..<1000 {
                group.addTask { try await bed.commits.perform(.submit, CommitBed.insert("\(number)")) }
            }
            return try await group.reduce(into: Set<Int64>()) { $0.insert($1) }
        }
        #expect(numbers == Set(1...1000))
        #expect(bed.commits.figures.operations == 1000)
        #expect(bed.commits.figures.commits < 1000)
    }

    @Test
    func aCommitHasAtMostFiveHundredAndTwelveOperations() async throws {
        let bed = try CommitBed()
        _ = try await bed.together(
            (0..<600).map { number in { _ = try await $0.perform(.submit, CommitBed.insert("\(number)")) } }
        )
        #expect(bed.commits.figures.largestCommit == 512)
    }

    @Test
    func aStoppedOneRefuses() async throws {
        let bed = try CommitBed()
        bed.commits.stop()
        await #expect(throws: StoreError.closed) {
            try await bed.commits.perform(.change, CommitBed.insert("late"))
        }
        #expect(try await bed.texts() == [])
    }

    @Test
    func whatWaitsAtTheStopIsStillDone() async throws {
        let bed = try CommitBed()
        let outcomes = try await bed.together([
            { commits in
                // Runs first of its batch, on the writer, while its neighbor waits.
                try await commits.perform(.change) { _ in commits.stop() }
            },
            { _ = try await $0.perform(.change, CommitBed.insert("waiting")) },
        ])
        #expect(outcomes.allSatisfy { $0.isDone })
        #expect(try await bed.texts() == ["waiting"])
    }

    @Test
    func aFullWALIsCheckpointed() async throws {
        let bed = try CommitBed(checkpointBytes: 1)
        _ = try await bed.commits.perform(.change, CommitBed.insert("one"))
        await bed.commits.checkpointNow()
        #expect(bed.commits.figures.checkpoints == 2)
    }
}
