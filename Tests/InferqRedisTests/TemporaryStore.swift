import Foundation

@testable import InferqCore
@testable import InferqQueue
@testable import InferqStore

/// A folder with a store, which goes with its last reference.
final class TemporaryStore: Sendable {
    private let folder: URL

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "inferq-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    deinit {
        // What is left in the folder for temporary files is nobody's loss.
        try? FileManager.default.removeItem(at: folder)
    }

    /// Opens the store as a start of a gateway with a Redis does, and closes it after `body`.
    func open(_ body: (JobStore) async throws -> Void) async throws {
        let settings = StoreSettings(path: folder.appending(path: "inferq.db").path)
        let store = try JobStore(settings, models: ["a", "b"], bootID: "boot", remoteAttempts: .keep) { _ in }
        do {
            try await body(store)
        } catch {
            await store.close()
            throw error
        }
        await store.close()
    }
}

/// Runs `body` with a new store, and closes it afterwards.
func withStore(_ body: (JobStore) async throws -> Void) async throws {
    try await TemporaryStore().open(body)
}
