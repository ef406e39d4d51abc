import TestSupport

@testable import InferqCore
@testable import InferqQueue
@testable import InferqStore

/// A folder with a store, which goes with its last reference.
final class TemporaryStore: Sendable {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    /// Opens the store as a start of a gateway with a Redis does, and closes it after `body`.
    func open(_ body: (JobStore) async throws -> Void) async throws {
        let settings = StoreSettings(path: folder.store)
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
