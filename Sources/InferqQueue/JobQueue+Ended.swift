import GRDB

/// What can still be done with jobs that have ended.
extension JobQueue {
    /// The job's state does not allow it.
    package struct WrongState: Error, Sendable, Equatable {
        package let status: Status
    }

    /// Submits the same input with the same options once more: a new job, due at once, without expiry and key.
    ///
    /// - Returns: the new job; nil when there is none with this id.
    /// - Throws: ``WrongState`` unless it ended in ERROR or was cancelled, ``Refusal``, or ``StoreError``.
    package func retry(_ id: UUIDv7, now: Moment? = nil) async throws -> Job? {
        guard let job = try await store.job(id) else { return nil }
        guard job.status == .failed || job.status == .cancelled else { throw WrongState(status: job.status) }
        var options = Submission.Options()
        options.priority = job.options.priority
        options.timeout = job.options.timeout
        options.maxAttempts = job.options.maxAttempts
        options.metadata = job.options.metadata
        options.traceparent = job.options.traceparent
        options.retryOf = job.id
        var input = job.input
        if case .file(let name) = input.content {
            input.content = .file(try await store.whileNamed(name) { try await store.blobs.copy(name) })
        }
        return try await submit(Submission(model: job.model, options: options, input: input), now: now).job
    }

    /// Removes an ended job, its bodies, its events and its key.
    ///
    /// - Returns: false when there is none with this id.
    /// - Throws: ``WrongState`` when it has not ended, or ``StoreError``.
    package func delete(_ id: UUIDv7) async throws -> Bool {
        guard let job = try await store.delete(id) else { return false }
        for payload in [job.input, job.output].compactMap({ $0 }) {
            if case .file(let name) = payload.content { await store.blobs.remove(name) }
        }
        return true
    }
}

extension JobStore {
    fileprivate func delete(_ id: UUIDv7) async throws -> Job? {
        try await commits.perform(.change) { [names, clock] db in
            guard let job = try SQL.selectJob(db, id.key, names), job.id == id else { return nil }
            guard job.status.isFinal else { throw JobQueue.WrongState(status: job.status) }
            try SQL.deleteJob(db, job, at: clock.now.certain)
            return job
        }
    }

    /// Whether a job with this `id` or `event_id` was there and is gone.
    package func isDeleted(_ id: UUIDv7) async throws -> Bool {
        try await reads.perform { db in try SQL.isDeleted(db, id) }
    }
}
