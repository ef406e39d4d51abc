import GRDB
package import InferqCore

extension JobStore {
    /// Removes an ended job, its bodies, its events and its key, and remembers that it was there.
    ///
    /// - Returns: false when there is none with this id.
    /// - Throws: ``WrongState`` when it has not ended, or ``StoreError``.
    package func delete(_ id: UUIDv7) async throws -> Bool {
        let deleted = try await commits.perform(.change) { [names, clock] db -> Job? in
            guard let job = try SQL.selectJob(db, id.key, names), job.id == id else { return nil }
            guard job.status.isFinal else { throw WrongState(status: job.status) }
            try SQL.deleteJob(db, job, at: clock.now.certain)
            return job
        }
        guard let deleted else { return false }
        // The row is gone on disk: only now may the files go.
        for payload in [deleted.input, deleted.output].compactMap({ $0 }) {
            if case .file(let name) = payload.content { await blobs.remove(name) }
        }
        return true
    }

    /// Whether a job with this `id` or `event_id` was there and is gone.
    ///
    /// - Parameter client: whose job it must have been; nil: anybody's.
    package func isDeleted(_ id: UUIDv7, of client: String? = nil) async throws -> Bool {
        guard let client else { return try await reads.perform { db in try SQL.isDeleted(db, id) } }
        guard let owner = names.clients.id(of: client) else { return false }
        return try await reads.perform { db in try SQL.isDeleted(db, id, of: owner) }
    }
}
