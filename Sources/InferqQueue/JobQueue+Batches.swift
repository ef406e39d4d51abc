package import InferqCore
import InferqStore
import Synchronization

extension JobQueue {
    /// Stores the next lines of a batch as jobs, all or none, with how far it has come. When this returns, they are on disk.
    ///
    /// - Parameter last: how far it must have come before.
    /// - Returns: false when the batch no longer takes these lines.
    /// - Throws: ``Refusal`` when there is no room for all of them, or ``StoreError``; then nothing was left behind, their
    ///   files aside.
    package func submit(
        _ lines: [Submission], of batch: UUIDv7, after last: Batch.Progress, _ progress: Batch.Progress
    ) async throws -> Bool {
        var reserved: [Submission] = []
        var areStored = false
        defer {
            if !areStored { for line in reserved { backlog.release(line.model, for: line.client) } }
        }
        var made: [(job: Job, at: Moment, leads: ArraySlice<IDLead>)] = []
        for line in lines {
            guard let model = model(line.model) else { throw Refusal.unknownModel(known: models.map(\.name)) }
            let room = backlog.reserve(model.name, for: line.client, line.limits)
            guard room == .some else { throw refusal(room, model) }
            reserved.append(line)
        }
        guard !store.disk.isShort else { throw StoreError.full }
        for line in lines {
            guard let model = model(line.model) else { throw Refusal.unknownModel(known: models.map(\.name)) }
            let issue = store.ids.next { store.clock.now }
            made.append((line.job(issue, model), issue.moment, issue.leads))
        }
        areStored = try await store.insert(made, of: batch, after: last, progress)
        return areStored
    }
}
