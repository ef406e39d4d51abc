import Foundation
import InferqCore
import InferqStore
import Synchronization

/// How many jobs of each model and of each client are pending and running, and how fast they end: counters, since counting
/// rows is linear.
///
/// Read once from the store at the start; afterwards every committed change moves them. The jobs of "anonymous", and those
/// of before there were clients, have no counters of their own: where all are everyone's, nothing is counted twice.
final class Backlog: Sendable {
    struct Figures: Sendable, Equatable {
        var pending = 0
        var running = 0
        /// Jobs that ended per second, averaged over about the last half minute.
        var rate = 0.0
    }

    /// How many more jobs may be pending.
    enum Room: Sendable, Equatable {
        case some
        /// The model's queue is full.
        case none
        case ofClient(ClientBound)
    }

    /// A class, so that a counter moves where it is: a model is found once for each change.
    private final class Model {
        var limit = Int.max
        var all = Tally()
        /// By the name of the client.
        var clients: [String: Tally] = [:]

        func apply(_ change: JobStore.Change, now: ContinuousClock.Instant) {
            all.apply(change, now: now)
            if let client = Backlog.counted(change.job) {
                clients[client, default: Tally()].apply(change, now: now)
            }
        }

        /// What each client has; "anonymous" has the rest.
        var shares: [String: ClientFigures] {
            var rest = all.figures
            for tally in clients.values {
                rest.pending -= tally.pending
                rest.running -= tally.running
            }
            var shares = clients.mapValues(\.figures)
            shares[ClientName.anonymous] = rest
            return shares
        }
    }

    private struct Models {
        private(set) var all: [String: Model] = [:]

        subscript(name: String) -> Model? { all[name] }

        /// The counters of a model, made where it has none yet.
        mutating func of(_ name: String) -> Model {
            if let found = all[name] { return found }
            let new = Model()
            all[name] = new
            return new
        }
    }

    private let models = Mutex(Models())

    /// The client whose counters a job moves.
    private static func counted(_ job: Job) -> String? { counted(job.options.client) }

    private static func counted(_ client: String?) -> String? {
        client == ClientName.anonymous ? nil : client
    }

    /// Sets how many jobs of a model may be pending.
    func setLimit(_ limit: Int, of model: String) {
        models.withLock { $0.of(model).limit = limit }
    }

    /// Counts jobs found at the start.
    func add(_ found: JobStore.PendingCount) {
        models.withLock { models in
            let model = models.of(found.model)
            if let client = found.client {
                model.clients[client, default: Tally()].add(found)
            } else {
                model.all.add(found)
            }
        }
    }

    /// Counts a job that was found running at the start.
    func addRunning(_ job: Job) {
        models.withLock { models in
            let model = models.of(job.model)
            model.all.running += 1
            if let client = Self.counted(job) { model.clients[client, default: Tally()].running += 1 }
        }
    }

    /// Makes room for one more pending job, before it is stored.
    ///
    /// - Parameters:
    ///   - client: whose job it becomes.
    ///   - limits: the client's own; nil: it is held to the model's queue alone.
    func reserve(_ model: String, for client: String?, _ limits: Caller.Limits?) -> Room {
        models.withLock { models in
            let found = models.of(model)
            guard found.all.pending < found.limit else { return .none }
            guard let client = Self.counted(client) else {
                found.all.pending += 1
                return .some
            }
            if let limits {
                if limits.maxPending > 0 {
                    let pending = models.all.values.reduce(0) { $0 + ($1.clients[client]?.pending ?? 0) }
                    guard pending < limits.maxPending else { return .ofClient(.own(limits.maxPending)) }
                }
                let free = found.limit - found.all.pending
                let own = found.clients[client]?.pending ?? 0
                guard own < free else { return .ofClient(.share(pending: own, free: free)) }
            }
            found.all.pending += 1
            found.clients[client, default: Tally()].pending += 1
            return .some
        }
    }

    /// Gives the room of a job back that was not stored.
    func release(_ model: String, for client: String?) {
        models.withLock { models in
            let found = models.of(model)
            found.all.pending -= 1
            guard let client = Self.counted(client) else { return }
            found.clients[client, default: Tally()].pending -= 1
        }
    }

    /// Moves the counters after a commit. A new job was counted by ``reserve(_:for:_:)``.
    func apply(_ change: JobStore.Change, now: ContinuousClock.Instant) {
        models.withLock { $0.of(change.job.model).apply(change, now: now) }
    }

    /// - Parameter client: whose jobs; nil: everyone's.
    func figures(of model: String, client: String? = nil, now: ContinuousClock.Instant) -> Figures {
        guard let found = tally(of: model, client) else { return Figures() }
        return Figures(pending: found.pending, running: found.running, rate: found.rate(at: now))
    }

    /// What became of a model's jobs in the last hour, the oldest minute first.
    ///
    /// - Parameter client: whose jobs; nil: everyone's.
    func lastHour(of model: String, client: String? = nil, now: ContinuousClock.Instant) -> [LastHour.Minute] {
        (tally(of: model, client)?.lastHour ?? LastHour()).minutes(at: now)
    }

    /// Due jobs of a higher priority, and all of the same one.
    ///
    /// - Parameter client: whose jobs; nil: everyone's.
    func due(of model: String, priority: Int, client: String? = nil) -> (higher: Int, same: Int) {
        let due = tally(of: model, client)?.due ?? [:]
        return (due.reduce(0) { $1.key > priority ? $0 + $1.value : $0 }, due[priority] ?? 0)
    }

    /// - Parameter clients: those whose jobs do not count.
    func hasDue(of model: String, beside clients: Set<String> = []) -> Bool {
        models.withLock { models in
            guard let found = models[model] else { return false }
            return found.all.dueCount > clients.reduce(0) { $0 + (found.clients[$1]?.dueCount ?? 0) }
        }
    }

    /// Nil when nothing was ever counted.
    private func tally(of model: String, _ client: String?) -> Tally? {
        models.withLock { models in
            guard let client = Self.counted(client) else { return models[model]?.all }
            return models[model]?.clients[client]
        }
    }

    /// Pending and running jobs of each client over all models; "anonymous" has those of before there were clients too.
    func clientFigures() -> [String: ClientFigures] {
        models.withLock { models in
            var figures: [String: ClientFigures] = [:]
            for (client, share) in models.all.values.flatMap(\.shares) where share.pending + share.running > 0 {
                figures[client, default: ClientFigures()].pending += share.pending
                figures[client, default: ClientFigures()].running += share.running
            }
            return figures
        }
    }
}

/// What is pending and running, and how fast it ends.
private struct Tally {
    var pending = 0
    var running = 0
    /// Due jobs by priority.
    private(set) var due: [Int: Int] = [:]
    /// Ended jobs, weighted down by age.
    private var ended = 0.0
    private var lastEnd: ContinuousClock.Instant?
    private(set) var lastHour = LastHour()

    /// The time in which a past end loses all but 1/e of its weight.
    private static let memory = 30.0

    var figures: ClientFigures {
        var figures = ClientFigures()
        (figures.pending, figures.running) = (pending, running)
        return figures
    }

    var dueCount: Int { due.values.reduce(0, +) }

    func rate(at now: ContinuousClock.Instant) -> Double { weight(at: now) / Self.memory }

    mutating func add(_ found: JobStore.PendingCount) {
        pending += found.count
        if found.isDue { due[found.priority, default: 0] += found.count }
        lastHour.note(pending: pending, ended: nil, at: .now)
    }

    mutating func apply(_ change: JobStore.Change, now: ContinuousClock.Instant) {
        let priority = change.job.options.priority
        switch change.before {
        case .pending(let isDue):
            pending -= 1
            if isDue { due[priority] = (due[priority] ?? 1) - 1 }
        case .running: running -= 1
        case nil: pending -= 1
        case .completed, .failed, .cancelled: return
        }
        switch change.job.state {
        case .pending(let isDue):
            pending += 1
            if isDue { due[priority, default: 0] += 1 }
        case .running: running += 1
        case .completed, .failed, .cancelled:
            ended = weight(at: now) + 1
            lastEnd = now
        }
        if due[priority] == 0 { due[priority] = nil }
        lastHour.note(pending: pending, ended: change.job.state.end, at: now)
    }

    private func weight(at now: ContinuousClock.Instant) -> Double {
        guard let lastEnd else { return ended }
        let seconds = max(0, (now - lastEnd) / .seconds(1))
        return ended * exp(-seconds / Self.memory)
    }
}

extension Job.State {
    /// How a job has ended, as far as the page draws it.
    fileprivate var end: LastHour.End? {
        switch self {
        case .completed: .completed
        case .failed: .failed
        case .pending, .running, .cancelled: nil
        }
    }
}
