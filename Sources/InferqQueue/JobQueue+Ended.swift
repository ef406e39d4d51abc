package import InferqCore

/// What can still be done with jobs that have ended.
extension JobQueue {
    /// Submits the same input with the same options once more: a new job of the same client, due at once, without expiry
    /// and key.
    ///
    /// It counts as pending of that client, and is held to its limits when the client itself asks.
    ///
    /// - Parameter caller: who asks.
    /// - Returns: the new job; nil when there is none with this id.
    /// - Throws: ``WrongState`` unless it ended in ERROR or was cancelled, ``Refusal``, or ``StoreError``.
    package func retry(_ id: UUIDv7, by caller: Caller = .anonymous, now: Moment? = nil) async throws -> Job? {
        guard let job = try await store.job(id) else { return nil }
        guard job.status == .failed || job.status == .cancelled else { throw WrongState(status: job.status) }
        var options = Submission.Options()
        options.kept = job.options
        options.kept.retryOf = job.id
        // The batch has the answer of the line that it made, whatever else is made of it.
        options.kept.batch = nil
        options.kept.call = job.options.call?.outliving
        options.maxAttempts = job.maxAttempts
        var input = job.input
        if case .file(let name) = input.content {
            input.content = .file(try await store.whileNamed(name) { try await store.blobs.copy(name) })
        }
        var submission = Submission(model: job.model, options: options, input: input)
        submission.caller = caller
        return try await submit(submission, now: now).job
    }

    /// Removes an ended job, its bodies, its events and its key.
    ///
    /// - Returns: false when there is none with this id.
    /// - Throws: ``WrongState`` when it has not ended, or ``StoreError``.
    package func delete(_ id: UUIDv7) async throws -> Bool {
        try await store.delete(id)
    }
}
