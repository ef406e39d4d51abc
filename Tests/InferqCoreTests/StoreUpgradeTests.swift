import Foundation
import GRDB
import TestSupport
import Testing

@testable import InferqCore
@testable import InferqQueue
@testable import InferqStore

/// Migrations of stores that hold jobs, with the copy of the older store that each leaves behind.
@Suite(.timeLimit(.minutes(1)))
struct StoreUpgradeTests {
    private let folder: TemporaryFolder
    private var copy: String { folder.store + ".schema1" }
    private var draft: String { copy + ".new" }

    private static let addNote: Schema.Migration = { try $0.execute(sql: "ALTER TABLE job ADD COLUMN note TEXT") }
    private static let numberNotes: Schema.Migration = { try $0.execute(sql: "UPDATE job SET note = 'n' || key") }

    init() throws {
        folder = try TemporaryFolder()
    }

    private func leaveStore(_ count: Int64 = 300) async throws {
        try await withStore(in: folder) { store in
            for number in 0..<count { try await store.insert(.sample(number)) }
        }
    }

    private func upgrade(_ migrations: [Schema.Migration]) throws -> StoreUpgrade? {
        let pool = try StoreOpening.open(.sample(folder.store))
        return try StoreUpgrade.run(pool, path: folder.store, migrations: migrations)
    }

    private func count(_ sql: String) throws -> Int {
        let queue = try DatabaseQueue(path: folder.store)
        return try queue.read { try Int.fetchOne($0, sql: sql) ?? -1 }
    }

    private func exists(_ path: String) -> Bool {
        FileManager.default.fileExists(atPath: path)
    }

    @Test
    func aCurrentStoreIsLeftAlone() async throws {
        try await leaveStore()
        #expect(try upgrade([]) == nil)
        #expect(!exists(copy))
    }

    @Test
    func allStepsAreTakenAndTheOlderStoreIsKept() async throws {
        try await leaveStore()
        #expect(try upgrade([Self.addNote, Self.numberNotes]) == StoreUpgrade(schema: 1, copy: copy))
        #expect(try count("PRAGMA user_version") == 3)
        #expect(try count("SELECT count(*) FROM job WHERE note = 'n' || key") == 300)
        #expect(!exists(draft))
        // The copy is a store of this version, with every job.
        let kept = try JobStore(.sample(copy), models: [], bootID: "") { _ in }
        let jobs = try await kept.pool.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM job") }
        #expect(jobs == 300)
        await kept.close()
    }

    @Test
    func aStepIsNotTakenTwice() async throws {
        try await leaveStore()
        let pool = try StoreOpening.open(.sample(folder.store))
        let older = try StoreUpgrade.run(pool, path: folder.store, migrations: [Self.addNote])
        let none = try StoreUpgrade.run(pool, path: folder.store, migrations: [Self.addNote])
        let newer = try StoreUpgrade.run(pool, path: folder.store, migrations: [Self.addNote, Self.numberNotes])
        #expect([older?.schema, none?.schema, newer?.schema] == [1, nil, 2])
    }

    @Test
    func theVersionBeforeSaysWhereItsCopyIs() async throws {
        try await leaveStore()
        _ = try upgrade([Self.addNote])
        do {
            _ = try folder.open()
            Issue.record("opened a newer store")
        } catch let error as StoreError {
            #expect(error == .newer(path: folder.store, version: 2, copy: copy))
            #expect("\(error)".contains(copy))
        }
    }

    @Test
    func aStepThatFailsLeavesTheStoreAsItWas() async throws {
        try await leaveStore()
        #expect(throws: DatabaseError.self) {
            _ = try upgrade([Self.addNote, { try $0.execute(sql: "UPDATE job SET priority = 1000") }])
        }
        #expect(try count("PRAGMA user_version") == 1)
        let store = try folder.open()
        await store.close()
    }

    @Test
    func withoutRoomForTheCopyNothingIsDone() async throws {
        try await leaveStore()
        let disk = FaultyDisk(folder)
        let pool = try StoreOpening.open(.sample(folder.store))
        disk.fail(.full, at: 5)
        #expect(throws: StoreError.full) {
            _ = try StoreUpgrade.run(pool, path: folder.store, migrations: [Self.addNote])
        }
        disk.repair()
        #expect(disk.hasFailed)
        #expect(!exists(copy) && !exists(draft))
        #expect(try count("PRAGMA user_version") == 1)
    }
}
