package import InferqCore
package import InferqStore
import Synchronization

/// The gateway's middle: what clients ask for, what workers take and bring back, and who must be told.
///
/// Every change is committed by the store first; only then counters move, bells ring and jobs are offered.
package final class JobQueue: Sendable {
    package let store: JobStore
    package let hub: EventHub
    package let scheduler: Scheduler
    package let broker: any Broker
    package let metrics = JobMetrics()
    let backlog = Backlog()
    /// Rings when a job was stored that becomes due or expires later.
    let deadlines = Bell()

    private let configured = Mutex<[String: Configured]>([:])
    private let configurations = Counter()
    let running = RunningJobs()
    let authorizations = Authorizations()
    package let streams = Streams()
    package let batches = BatchBells()

    /// - Throws: ``StoreError`` when the queue's depth cannot be read.
    package init(store: JobStore, broker: any Broker, models: [ModelSettings]) throws {
        self.store = store
        self.broker = broker
        hub = EventHub()
        scheduler = Scheduler(broker: broker) { try await store.dueJobs($0, of: $1, limit: $2) }
        broker.start(
            room: { [weak scheduler] in scheduler?.room(for: $0) ?? 0 },
            onLoss: { [weak scheduler] in scheduler?.lost($0) }
        )
        for row in try store.pendingCounts() { backlog.add(row) }
        store.onCommit { [weak self] in self?.applied($0) }
        configure(models)
        for model in try store.pausedModels() { scheduler.setPaused(true, model) }
        for run in store.recovery.remoteAttempts { backlog.addRunning(run.job) }
        store.clock.whenSet { [deadlines] in deadlines.ring(.event) }
    }

    /// Models that the store knows, so that jobs of theirs can be stored.
    package struct KnownModels: Sendable {
        fileprivate let all: [ModelSettings]
    }

    /// Makes models known to the store.
    ///
    /// - Throws: ``StoreError``.
    package func know(_ models: [ModelSettings]) async throws -> KnownModels {
        try await store.add(models: models.map(\.name))
        return KnownModels(all: models)
    }

    /// Takes over other models; running attempts keep what they began with.
    package func configure(_ models: KnownModels) { configure(models.all) }

    private func configure(_ models: [ModelSettings]) {
        configured.withLock { $0 = Dictionary(uniqueKeysWithValues: models.map { ($0.name, Configured($0)) }) }
        configurations.add()
        for model in models {
            backlog.setLimit(model.queueLimit, of: model.name)
            _ = metrics.of(model.name)
        }
        scheduler.configure(models)
    }

    /// A model's settings, which are many: they are looked at where they are.
    private final class Configured: Sendable {
        let model: ModelSettings

        init(_ model: ModelSettings) {
            self.model = model
        }
    }

    package func model(_ name: String) -> ModelSettings? { configured(name)?.model }

    package func isConfigured(_ name: String) -> Bool { configured(name) != nil }

    private func configured(_ name: String) -> Configured? { configured.withLock { $0[name] } }

    /// Grows each time that the configured models change.
    package var generation: Int { configurations.value }

    package var models: [ModelSettings] {
        configured.withLock { $0.values.map(\.model).sorted { $0.name < $1.name } }
    }

    // MARK: Clients

    /// Why a submission was not stored.
    package enum Refusal: Error, Sendable, Equatable {
        case unknownModel(known: [String])
        /// - Parameter retryAfter: whole seconds until there is room, from the measured rate.
        case queueFull(limit: Int, retryAfter: Int)
        /// The client has as many pending jobs as it may have.
        ///
        /// - Parameter retryAfter: as of ``queueFull(limit:retryAfter:)``.
        case clientLimit(ClientBound, retryAfter: Int)
        /// The idempotency key was used before with another request.
        case keyReused
    }

    /// What became of a submission.
    package enum Receipt: Sendable {
        case stored(JobStore.Change)
        /// The key was used before, with the same request: the job of then, as it is now.
        case replayed(UUIDv7)

        package var job: Job? {
            if case .stored(let change) = self { change.job } else { nil }
        }
    }

    /// Stores a job. When this returns, it is on disk.
    ///
    /// - Throws: ``Refusal`` or ``StoreError``; then nothing was left behind.
    package func submit(_ submission: Submission, now: Moment? = nil) async throws -> Receipt {
        let receipt: Receipt
        do {
            receipt = try await store(submission, now)
        } catch StoreError.failed(let reason) {
            // The row may be on disk all the same and name the input; the next start sweeps what no row names.
            throw StoreError.failed(reason: reason)
        } catch {
            await removeInput(of: submission)
            throw error
        }
        if case .replayed = receipt {
            metrics.of(submission.model).replayed.add()
            await removeInput(of: submission)
        }
        return receipt
    }

    private func removeInput(of submission: Submission) async {
        if case .file(let name) = submission.input.content { await store.blobs.remove(name) }
    }

    private func store(_ submission: Submission, _ now: Moment?) async throws -> Receipt {
        guard let configured = configured(submission.model) else {
            throw Refusal.unknownModel(known: models.map(\.name))
        }
        let client = submission.client
        let room = backlog.reserve(submission.model, for: client, submission.limits)
        guard room == .some else {
            // A repeated request is answered even now: it starts nothing.
            guard let known = try await known(submission) else { throw refusal(room, configured.model) }
            return .replayed(known)
        }
        guard !store.disk.isShort else {
            backlog.release(submission.model, for: client)
            guard let known = try await known(submission) else { throw StoreError.full }
            return .replayed(known)
        }
        let issue = store.ids.next { now ?? store.clock.now }
        let job = submission.job(issue, configured.model)
        if let authorization = submission.authorization { authorizations.keep(authorization, for: job.key) }
        var isInserted = false
        defer { if !isInserted, submission.authorization != nil { authorizations.forget(job.key) } }
        do {
            let insertion = try await store.insert(
                job, key: submission.key, at: issue.moment, leads: issue.leads
            )
            switch insertion {
            case .inserted(let change):
                isInserted = true
                return .stored(change)
            case .known(let id):
                backlog.release(submission.model, for: client)
                return .replayed(id)
            }
        } catch is KeyReused {
            backlog.release(submission.model, for: client)
            throw Refusal.keyReused
        } catch {
            backlog.release(submission.model, for: client)
            throw error
        }
    }

    private func known(_ submission: Submission) async throws -> UUIDv7? {
        guard let key = submission.key else { return nil }
        do {
            return try await store.jobOf(key, client: submission.client)
        } catch is KeyReused {
            throw Refusal.keyReused
        }
    }

    func refusal(_ room: Backlog.Room, _ model: ModelSettings) -> Refusal {
        metrics.of(model.name).refused.add()
        let rate = backlog.figures(of: model.name, now: .now).rate
        // One place is free as soon as one job has ended. With nothing measured yet, a guess that does no harm.
        let seconds = rate > 0 ? (1 / rate).rounded(.up) : 10
        let retryAfter = Int(min(max(seconds, 1), 3600))
        if case .ofClient(let bound) = room { return .clientLimit(bound, retryAfter: retryAfter) }
        return .queueFull(limit: model.queueLimit, retryAfter: retryAfter)
    }

    /// Ends a job that has not ended; one that has stays as it is.
    ///
    /// - Returns: the job afterwards; nil when there is none.
    package func cancel(_ id: UUIDv7, now: Moment? = nil) async throws -> Job? {
        let now = now ?? store.clock.now
        return try await store.change(id.key, id: id, rank: .change, now: now) { job in
            job.cancel(now: now)
        }?.job
    }

    // MARK: After each commit

    /// On the writer, in commit order.
    private func applied(_ change: JobStore.Change) {
        let job = change.job
        backlog.apply(change, now: .now)
        metrics.apply(change)
        if !change.events.isEmpty { hub.ring(job.key, isLast: job.status.isFinal) }
        if job.status.isFinal {
            authorizations.forget(job.key)
            if let place = job.options.batch { batches.ring(place.batch) }
        }
        if case .running? = change.before, job.status != .running { streams.ended(job.key) }
        switch job.state {
        case .pending(isDue: true):
            if change.before != job.state { scheduler.becameDue([job.candidate], of: job.model) }
            if job.expiry != nil, job.attempt == 0 { deadlines.ring(.event) }
        case .pending(isDue: false): deadlines.ring(.event)
        case .cancelled:
            if case .running = change.before {
                running.cancel(job.key)
            } else {
                withdraw(job)
            }
        case .failed: if change.before?.isPending == true { withdraw(job) }
        case .running, .completed: break
        }
    }

    /// Ended before anyone took it: its offer need not be looked at.
    private func withdraw(_ job: Job) {
        let offer = Offer(model: job.model, job: job.key)
        if broker.withdraw(offer) { scheduler.withdrawn(offer) }
    }
}
