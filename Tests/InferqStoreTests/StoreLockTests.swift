import Foundation
import Synchronization
import TestSupport
import Testing

@testable import InferqCore
@testable import InferqStore

/// The lock belongs to the store's file, whatever name leads to it.
@Suite(.timeLimit(.minutes(10)))
struct StoreLockTests {
    private let folder: TemporaryFolder
    private let other: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        other = try TemporaryFolder()
    }

    private func symbolicLink() throws {
        try FileManager.default.createSymbolicLink(atPath: other.store, withDestinationPath: folder.store)
    }

    private func refusal(_ open: () throws -> Void) -> StoreError? {
        do {
            try open()
            return nil
        } catch {
            return error as? StoreError
        }
    }

    @Test
    func aHardLinkToAStoreInUseIsHeld() async throws {
        try await withStore(in: folder) { _ in
            #expect(link(folder.store, other.store) == 0)
            #expect(throws: StoreError.held(path: other.store)) { try StoreLock(path: other.store, patience: .zero) }
            unlink(other.store)
        }
    }

    @Test
    func aSymbolicLinkToAStoreInUseIsHeld() async throws {
        try await withStore(in: folder) { _ in
            try symbolicLink()
            #expect(throws: StoreError.held(path: folder.store)) { try IdleStore(path: other.store) }
            #expect(throws: StoreError.held(path: other.store)) { try StoreLock(path: other.store, patience: .zero) }
        }
    }

    @Test
    func aStoreWithTwoNamesIsRefusedByEither() async throws {
        try await withStore(in: folder) { _ in }
        #expect(link(folder.store, other.store) == 0)
        for each in [folder, other] {
            guard case .unusable(let path, let reason) = refusal({ _ = try each.open() }) else {
                Issue.record("opened by one of two names")
                return
            }
            #expect(path == each.store)
            #expect(reason.contains("2 names"))
        }
        unlink(other.store)
        try await withStore(in: folder) { _ in }
    }

    @Test
    func whatBelongsToAStoreLiesBesideItsFileAndNotBesideALink() async throws {
        let job = try await withStore(in: folder) { try await $0.insert(.sample()) }
        try symbolicLink()
        try await withStore(in: other) { store in
            _ = try await store.blobs.store([1], as: .input)
            #expect(try await store.head(job.id)?.id == job.id)
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path + "/blobs").count == 1)
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: other.path) == ["inferq.db"])
    }

    @Test
    func noStoreIsMadeBehindALinkThatLeadsNowhere() throws {
        try symbolicLink()
        guard case .unusable(other.store, _) = refusal({ _ = try other.open() }) else {
            Issue.record("a store was made")
            return
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == [])
    }

    /// A number that is closed twice may be another thread's by the second time.
    @Test
    func aRefusedLockClosesOnlyItsOwnFiles() async throws {
        let lock = try StoreLock(path: folder.store, patience: .zero)
        let mine = other.path + "/mine"
        try Data("mine".utf8).write(to: URL(fileURLWithPath: mine))
        let isOver = Mutex(false)
        async let lost = {
            var lost = 0
            while !isOver.withLock({ $0 }) {
                let descriptor = open(mine, O_RDONLY | O_CLOEXEC)
                var byte = UInt8(0)
                if read(descriptor, &byte, 1) != 1 || byte != UInt8(ascii: "m") { lost += 1 }
                if close(descriptor) != 0 { lost += 1 }
            }
            return lost
        }()
        for _ in 0..<2000 {
            #expect(throws: StoreError.self) { try StoreLock(path: folder.store, patience: .zero) }
        }
        isOver.withLock { $0 = true }
        #expect(await lost == 0)
        withExtendedLifetime(lock) {}
    }

    @Test
    func aNoteIsWrittenWholeAndOnlyWhenItHasChanged() throws {
        let lock = try StoreLock(path: folder.store, patience: .zero)
        func content() throws -> Data { try #require(FileManager.default.contents(atPath: folder.store + ".lock")) }
        #expect(lock.note == "")
        lock.note = "1-2-3 4 ."
        #expect(try content().count == 128)
        #expect(try content().starts(with: Data("1-2-3 4 . ".utf8)))
        try Data("changed".utf8).write(to: URL(fileURLWithPath: folder.store + ".lock"), options: [])
        lock.note = "1-2-3 4 ."
        #expect(try content() == Data("changed".utf8))
        lock.note = ""
        #expect(try content().allSatisfy { $0 == 32 || $0 == 10 })
    }

    @Test
    func theNextProcessReadsTheNote() throws {
        do {
            try StoreLock(path: folder.store, patience: .zero).note = "1-2-3 4 ."
        }
        #expect(try StoreLock(path: folder.store, patience: .zero).note == "1-2-3 4 .")
    }
}
