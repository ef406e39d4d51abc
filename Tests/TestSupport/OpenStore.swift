package import InferqCore
package import InferqStore

extension TemporaryFolder {
    /// Opens the folder's store, as a start of the program does.
    package func open(
        models: [String] = ["a", "b"],
        bootID: String = "boot",
        remoteAttempts: RemoteAttemptPolicy = .interrupt(reason: "its worker cannot be reached"),
        source: StoreClock.Source = .system,
        onFatal: @escaping @Sendable (StoreError) -> Void = { _ in }
    ) throws -> JobStore {
        try JobStore(
            .sample(store), models: models, bootID: bootID, remoteAttempts: remoteAttempts, source: source,
            onFatal: onFatal)
    }
}

extension StoreSettings {
    /// For a store that refuses nothing for want of room.
    package static func sample(_ path: String) -> StoreSettings {
        var settings = StoreSettings(path: path)
        settings.minFree = 0
        settings.ballast = 0
        return settings
    }
}

/// Runs `body` with a new store, and closes that afterwards.
package func withStore(
    remoteAttempts: RemoteAttemptPolicy = .interrupt(reason: "its worker cannot be reached"),
    _ body: (JobStore) async throws -> Void
) async throws {
    let folder = try TemporaryFolder()
    try await withStore(in: folder, remoteAttempts: remoteAttempts, body)
}

/// Runs `body` with the store of `folder`, and closes that afterwards.
@discardableResult
package func withStore<Value>(
    in folder: TemporaryFolder,
    bootID: String = "boot",
    remoteAttempts: RemoteAttemptPolicy = .interrupt(reason: "its worker cannot be reached"),
    source: StoreClock.Source = .system,
    _ body: (JobStore) async throws -> Value
) async throws -> Value {
    let store = try folder.open(bootID: bootID, remoteAttempts: remoteAttempts, source: source)
    do {
        let value = try await body(store)
        await store.close()
        return value
    } catch {
        await store.close()
        throw error
    }
}

extension JobStore {
    /// Stores a job and returns it as it was committed; for tests without idempotency keys.
    @discardableResult
    package func insert(_ job: Job) async throws -> Job {
        switch try await insert(job, key: nil, at: .at(job.createdAt)) {
        case .inserted(let change): return change.job
        case .known(let id): throw StoreError.corrupt(path: "\(id)", reason: "known without a key")
        }
    }

    /// Changes a job; for tests that do not look at the commit.
    @discardableResult
    package func change(
        _ job: Job,
        _ rank: GroupCommit.Rank = .change,
        _ transition: @escaping @Sendable (inout Job) throws -> [JobEvent.Draft]
    ) async throws -> Job? {
        try await change(job.key, rank: rank, now: .at(Job.submitted), transition)?.job
    }

    @discardableResult
    package func claim(_ job: Job) async throws -> Job? {
        try await change(job) { try $0.claim(now: .at(Job.submitted)) }
    }

    @discardableResult
    package func complete(_ job: Job, _ output: String = "1") async throws -> Job? {
        try await change(job, .outcome) { job in
            try job.finish(job.lease, with: .answered(output), retry: .sample, jitter: 0, now: .at(Job.submitted))
        }
    }
}
