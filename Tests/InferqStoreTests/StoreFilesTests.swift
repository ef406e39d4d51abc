import Foundation
import TestSupport
import Testing

@testable import InferqCore
@testable import InferqStore

/// A store whose files are taken away while it is open: nothing is acknowledged that the next start would not find.
@Suite(.timeLimit(.minutes(10)))
struct StoreFilesTests {
    enum Deed: CaseIterable, Sendable {
        case removed, replaced, renamed
    }

    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    private func take(_ file: String, _ deed: Deed) throws {
        let manager = FileManager.default
        switch deed {
        case .removed: try manager.removeItem(atPath: file)
        case .renamed: try manager.moveItem(atPath: file, toPath: file + ".aside")
        case .replaced:
            try manager.copyItem(atPath: file, toPath: file + ".copy-of-it")
            #expect(rename(file + ".copy-of-it", file) == 0)
        }
    }

    @Test(arguments: ["", "-wal", ".lock"], Deed.allCases)
    func aFileThatIsTakenAwayEndsTheStoreThoughNobodyAsks(_ suffix: String, _ deed: Deed) async throws {
        let (ends, end) = AsyncStream.makeStream(of: StoreError.self)
        let store = try folder.open { end.yield($0) }
        try take(folder.store + suffix, deed)
        #expect(await ends.first { _ in true } == .moved(path: folder.store + suffix))
        await #expect(throws: StoreError.moved(path: folder.store + suffix)) { try await store.insert(.sample()) }
        await store.close()
    }

    @Test
    func aFolderThatIsTakenAwayEndsTheStore() async throws {
        let (ends, end) = AsyncStream.makeStream(of: StoreError.self)
        let store = try folder.open { end.yield($0) }
        #expect(rename(folder.path, folder.path + "-aside") == 0)
        #expect(await ends.first { _ in true } == .moved(path: folder.store))
        #expect(rename(folder.path + "-aside", folder.path) == 0)
        await store.close()
    }

    /// Of what the kernel does not tell, such as a change further up.
    @Test
    func aCommitIntoAFileWithoutItsNameIsNotAcknowledged() async throws {
        let above = folder.path + "/above"
        let settings = StoreSettings.sample(above + "/below/inferq.db")
        let ends = Recording<StoreError>()
        let store = try JobStore(settings, models: ["a", "b"], bootID: "boot") { ends.add($0) }
        try await store.insert(.sample(1))
        #expect(rename(above, above + "-aside") == 0)
        await #expect(throws: StoreError.moved(path: settings.path)) { try await store.insert(.sample(2)) }
        await #expect(throws: StoreError.moved(path: settings.path)) { try await store.ping() }
        #expect(ends.entries == [.moved(path: settings.path)])
        await store.close()
    }

    @Test
    func whatElseHappensInTheFolderEndsNothing() async throws {
        let ends = Recording<StoreError>()
        let store = try folder.open { ends.add($0) }
        for name in ["/other", "/inferq.db.copy"] {
            try Data([1]).write(to: URL(fileURLWithPath: folder.path + name))
            try FileManager.default.removeItem(atPath: folder.path + name)
        }
        try await store.insert(.sample())
        await store.close()
        #expect(ends.entries == [])
    }

    /// As long as no one has started over on purpose, by removing the lock file too.
    @Test
    func aStoreThatWasInUseAndIsGoneIsNotMadeAnew() async throws {
        let next = try TemporaryFolder()
        let store = try folder.open()
        try await store.insert(.sample())
        try FileManager.default.copyItem(atPath: folder.store + ".lock", toPath: next.store + ".lock")
        await store.close()
        do {
            _ = try next.open()
            Issue.record("an empty store was made")
        } catch StoreError.corrupt(let path, let reason) {
            #expect(path == next.store)
            #expect(reason.contains("gone"))
        }
        try FileManager.default.removeItem(atPath: next.store + ".lock")
        try await withStore(in: next) { #expect($0.recovery.epoch == 1) }
    }
}
