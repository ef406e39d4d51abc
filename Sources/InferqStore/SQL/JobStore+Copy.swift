import GRDB
import Synchronization

extension JobStore {
    /// Takes a copy that holds every job that was acknowledged before this call, while the store goes on.
    ///
    /// The pages go through the writer in steps, between its commits. Cancelling the calling task ends it. It leaves
    /// ``DiskGuard/minFree`` of the disk free.
    ///
    /// - Throws: ``StoreCopy/Refusal``, ``StoreError``, or `CancellationError`.
    package func copy() async throws -> StoreCopy {
        try await StoreCopy.take(pool.path, blobs, byteCount: try await pageBytes(), leaving: disk.minFree) { path in
            let copy = try await commits.perform(.change) { db in try PageCopy(of: db, into: path) }
            defer { pool.asyncWriteWithoutTransaction { _ in copy.end() } }
            while try await !step(copy) { try Task.checkCancellation() }
        }
    }

    /// After a commit of nothing: there no transaction is open, and the writer's next one waits for its turn.
    private func step(_ copy: PageCopy) async throws -> Bool {
        let outcome = Mutex(Result<Bool, StoreError>.success(false))
        try await commits.perform(
            .change,
            then: { _ in
                let result = Result { () throws(StoreError) in try copy.step(StoreCopy.step) }
                outcome.withLock { $0 = result }
            },
            { _ in }
        )
        return try outcome.withLock { $0 }.get()
    }

    private func pageBytes() async throws -> Int {
        try await scan { db in
            let pages = try Int.fetchOne(db, sql: "PRAGMA page_count") ?? 0
            return pages * (try Int.fetchOne(db, sql: "PRAGMA page_size") ?? 0)
        }
    }
}
