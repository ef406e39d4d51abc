import Foundation
import TestSupport
import Testing

@testable import InferqCore
@testable import InferqStore

/// Copies of a store for backups: one at a time, each in the same place.
@Suite(.timeLimit(.minutes(10)))
struct StoreCopyTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    @Test
    func oneCopyAfterAnotherIsThereUntilItIsLetGo() async throws {
        let store = try folder.open()
        try await store.insert(.sample())
        for _ in 0..<50 {
            let copy = try await store.copy()
            #expect(FileManager.default.fileExists(atPath: copy.path))
            #expect(try await copy.check().jobs == 1)
        }
        #expect(!FileManager.default.fileExists(atPath: StoreCopy.path(of: folder.store)))
        await store.close()
    }

    @Test
    func twoAtATimeAreRefused() async throws {
        let store = try folder.open()
        let copy = try await store.copy()
        await #expect(throws: StoreCopy.Refusal.busy) { try await store.copy() }
        #expect(FileManager.default.fileExists(atPath: copy.path))
        withExtendedLifetime(copy) {}
        await store.close()
    }
}
