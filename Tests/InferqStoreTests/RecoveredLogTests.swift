import Foundation
import GRDB
import TestSupport
import Testing

@testable import InferqCore
@testable import InferqStore

/// What a start does with the log that a crash has left.
@Suite(.timeLimit(.minutes(10)))
struct RecoveredLogTests {
    private let folder: TemporaryFolder
    private let crashed: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        crashed = try TemporaryFolder()
    }

    /// Leaves `count` jobs in the log of `crashed`, as a kill does.
    private func crash(_ count: Int = 20) async throws {
        try await withStore(in: folder) { store in
            for number in 0..<count { try await store.insert(.sample(Int64(number))) }
            for suffix in ["", "-wal", ".lock"] {
                try FileManager.default.copyItem(atPath: folder.store + suffix, toPath: crashed.store + suffix)
            }
        }
    }

    private var log: String { crashed.store + "-wal" }

    private func size(_ path: String) throws -> Int {
        try #require(FileManager.default.attributesOfItem(atPath: path)[.size] as? Int)
    }

    /// The mark that a store of this name and with this log would leave, with another number.
    private func mark(_ change: (UInt32) -> UInt32) throws -> String {
        let note = try #require(WALMark.note(of: crashed.store))
        let parts = note.split(separator: " ")
        let salt = try #require(UInt32(parts[1]))
        return "\(parts[0]) \(change(salt)) ."
    }

    @Test
    func whatWasRecoveredIsInTheDatabaseBeforeAnythingIsServed() async throws {
        try await crash()
        let copy = try TemporaryFolder()
        try await withStore(in: crashed) { _ in
            // Without its log.
            try FileManager.default.copyItem(atPath: crashed.store, toPath: copy.store)
        }
        let jobs = try await withStore(in: copy) { try await $0.jobs(JobFilter()) }
        #expect(jobs.count == 20)
    }

    @Test
    func theLogBeginsAnewAndDoesNotGrowWithEveryCrash() async throws {
        try await crash()
        let before = try size(log)
        try #require(before > 20 * 4096)
        try await withStore(in: crashed) { store in
            for number in 100..<110 { try await store.insert(.sample(Int64(number))) }
            #expect(try size(log) == before)
        }
    }

    @Test
    func writingALogAnewChangesNoByte() async throws {
        try await crash(100)
        let before = FileManager.default.contents(atPath: log)
        try RecoveredLog.writeAnew(crashed.store)
        #expect(FileManager.default.contents(atPath: log) == before)
    }

    @Test(arguments: [Data(), Data([1, 2, 3]), Data(repeating: 7, count: 100_000)])
    func writingAnewWhatIsNoLogChangesNothing(_ bytes: Data) throws {
        try bytes.write(to: URL(fileURLWithPath: log))
        try RecoveredLog.writeAnew(crashed.store)
        #expect(FileManager.default.contents(atPath: log) == bytes)
    }

    @Test
    func aLogThatIsInUseCountsForTheNextCheckpoint() async throws {
        let bed = try CommitBed(checkpointBytes: 1 << 20)
        let commits = GroupCommit(pool: bed.pool, checkpointBytes: 1 << 20, walByteCount: 1 << 20) { _ in }
        _ = try await commits.perform(.submit, CommitBed.insert("one"))
        _ = try await commits.perform(.submit, CommitBed.insert("two"))
        #expect(commits.figures.checkpoints == 1)
    }

    // MARK: The mark of the log

    /// After a power cut the store may be older than its log by several rounds, with the time of its change as noted.
    @Test(arguments: [UInt32(0), 1, 2, 4, 65_536])
    func aLogThatIsSomeRoundsAheadOfItsMarkIsTheStores(_ rounds: UInt32) async throws {
        try await crash()
        try WALMark.check(try mark { $0 &- rounds }, crashed.store)
    }

    @Test(arguments: [UInt32(65_537), 1 << 31, UInt32.max])
    func aLogThatIsFarFromItsMarkIsAnothers(_ rounds: UInt32) async throws {
        try await crash()
        #expect(throws: StoreError.self) { try WALMark.check(try mark { $0 &- rounds }, crashed.store) }
    }

    @Test
    func theMarkOfAnOpenStoreIsThereAtEveryMoment() async throws {
        try await withStore(in: folder) { store in
            let lock = folder.store + ".lock"
            let before = try #require(WALMark.note(of: folder.store))
            #expect(FileManager.default.contents(atPath: lock)?.starts(with: Data(before.utf8)) == true)
            try await store.insert(.sample(1))
            await store.checkpoint()
            try await store.insert(.sample(2))
            // The mark is written after those who waited were told; the next operation comes after it.
            try await store.ping()
            let after = try #require(WALMark.note(of: folder.store))
            #expect(after != before)
            #expect(FileManager.default.contents(atPath: lock)?.starts(with: Data(after.utf8)) == true)
        }
        #expect(
            FileManager.default.contents(atPath: folder.store + ".lock")?.allSatisfy { $0 == 32 || $0 == 10 } == true)
    }
}
