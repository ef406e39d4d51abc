import Foundation
import GRDB
import TestSupport
import Testing

@testable import InferqCore
@testable import InferqStore

/// What a start accepts as its store, and what it refuses and leaves as it was.
@Suite(.timeLimit(.minutes(10)))
struct JobStoreOpeningTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    /// Opens a file that must be refused; the error, after a look whether the file is still what it was.
    private func refusal() throws -> StoreError? {
        let before = FileManager.default.contents(atPath: folder.store)
        defer { #expect(FileManager.default.contents(atPath: folder.store) == before, "the file was touched") }
        do {
            _ = try folder.open()
            return nil
        } catch let error as StoreError {
            return error
        }
    }

    private func write(_ bytes: Data, _ suffix: String = "") throws {
        try bytes.write(to: URL(fileURLWithPath: folder.store + suffix))
    }

    /// Leaves a store behind that is in order.
    private func leaveStore() async throws -> Data {
        try await withStore(in: folder) { store in
            for number in 0..<20 { try await store.insert(.sample(Int64(number))) }
        }
        return try #require(FileManager.default.contents(atPath: folder.store))
    }

    @Test
    func everyCommitIsSynced() async throws {
        try await withStore(in: folder) { store in
            let found = try await store.pool.writeWithoutTransaction { db in
                try Int.fetchOne(db, sql: "PRAGMA synchronous")
            }
            #expect(found == 2)
        }
    }

    @Test
    func theCheckpointsAreTheWritersOwn() async throws {
        try await withStore(in: folder) { store in
            let found = try await store.pool.writeWithoutTransaction { db in
                try Int.fetchOne(db, sql: "PRAGMA wal_autocheckpoint")
            }
            #expect(found == 0)
        }
    }

    @Test
    func aSecondOpenerIsKeptOut() async throws {
        try await withStore(in: folder) { _ in
            #expect(throws: StoreError.held(path: folder.store)) {
                try StoreLock(path: folder.store, patience: .zero)
            }
        }
    }

    @Test
    func aClosedStoreIsFreeForTheNext() async throws {
        do {
            try await withStore(in: folder) { _ in }
        }
        _ = try StoreLock(path: folder.store, patience: .zero)
    }

    @Test
    func aStoreIsItsOwnersAlone() async throws {
        try await withStore(in: folder) { _ in
            let mode = try FileManager.default.attributesOfItem(atPath: folder.store)[.posixPermissions] as? Int
            #expect(mode == 0o600)
        }
    }

    @Test
    func aStoreIsOpenedAgainWithAllThatItHad() async throws {
        _ = try await leaveStore()
        try await withStore(in: folder) { store in
            let jobs = try await store.jobs(JobFilter())
            #expect(jobs.count == 20)
        }
    }

    // MARK: Refused

    @Test
    func anEmptyFileIsDamage() throws {
        try write(Data())
        guard case .corrupt = try refusal() else {
            Issue.record("not refused as damage")
            return
        }
    }

    @Test
    func aTextFileIsDamage() throws {
        try write(Data(String(repeating: "not a database\n", count: 100).utf8))
        guard case .corrupt = try refusal() else {
            Issue.record("not refused as damage")
            return
        }
    }

    @Test(arguments: [0.001, 0.25, 0.5, 0.9])
    func aCutFileIsDamage(_ part: Double) async throws {
        let whole = try await leaveStore()
        try write(whole.prefix(Int(Double(whole.count) * part)))
        guard case .corrupt = try refusal() else {
            Issue.record("not refused as damage")
            return
        }
    }

    @Test
    func aLogWithoutItsFileIsDamage() throws {
        try write(Data([1, 2, 3]), "-wal")
        guard case .corrupt = try refusal() else {
            Issue.record("not refused as damage")
            return
        }
        #expect(FileManager.default.contents(atPath: folder.store + "-wal") == Data([1, 2, 3]))
    }

    @Test
    func anotherProgramsDatabaseIsForeign() throws {
        let queue = try DatabaseQueue(path: folder.store)
        try queue.write { try $0.execute(sql: "CREATE TABLE theirs (id INTEGER PRIMARY KEY)") }
        try queue.close()
        #expect(try refusal() == .foreign(path: folder.store))
    }

    @Test
    func aNewerProgramsStoreIsNewer() async throws {
        _ = try await leaveStore()
        let queue = try DatabaseQueue(path: folder.store)
        try await queue.writeWithoutTransaction { try $0.execute(sql: "PRAGMA user_version = 99") }
        try queue.close()
        #expect(try refusal() == .newer(path: folder.store, version: 99, copy: nil))
    }

    @Test
    func aFolderThatCannotBeMadeIsUnusable() throws {
        try write(Data())
        let settings = StoreSettings.sample(folder.store + "/below/a.db")
        do {
            _ = try JobStore(settings, models: [], bootID: "boot") { _ in }
            Issue.record("opened below a file")
        } catch StoreError.unusable(let path, _) {
            #expect(path == settings.path)
        }
    }

    @Test
    func aHalfMadeStoreIsMadeAnew() async throws {
        try write(Data([1, 2, 3]), ".new")
        try await withStore(in: folder) { store in
            #expect(store.recovery.epoch == 1)
        }
    }
}
