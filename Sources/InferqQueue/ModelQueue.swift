import InferqCore
import InferqStore

/// One model's place in the scheduler: its slots, what was offered, and windows of the best candidates.
///
/// It lives in the scheduler's ``ModelQueues`` alone, under that one's lock. A class, since a value of this size is copied
/// each time that one is looked at in a dictionary.
final class ModelQueue {
    /// Slots in this process.
    var concurrency = 0
    /// Slots of the workers on other hosts.
    var remoteSlots = 0
    var isPaused = false
    /// Attempts that run in this process, from the take to the end.
    var running = 0
    /// Attempts that run on other hosts.
    var remoteRunning = 0
    /// Offered and not yet taken.
    var offered: Set<JobKey> = []
    /// Whether this process may call the model server.
    var server = Availability()

    /// Candidates kept in memory per model.
    static let windowLimit = 256
    /// The same of each client whose running jobs are limited: there may be a hundred of them.
    static let laneLimit = 128

    /// Of all clients that have no lane.
    private var common = Window(capacity: ModelQueue.windowLimit)
    /// One for each client whose running jobs are limited: while it has as many as it may, its jobs are passed by and stand
    /// in no one's way, and once it may have another one, that is at hand.
    private var lanes: [String: Window]

    /// What workers on other hosts say of model servers that are away.
    var remoteAway: Availability.Summary?

    /// - Parameter clients: those that get a lane.
    init(lanes clients: some Sequence<String> = []) {
        lanes = Self.lanes(clients)
    }

    private static func lanes(_ clients: some Sequence<String>) -> [String: Window] {
        Dictionary(uniqueKeysWithValues: clients.map { ($0, Window(capacity: ModelQueue.laneLimit)) })
    }

    /// Gives lanes to these clients and no others. All that is known of due jobs is read again.
    func setLanes(_ clients: some Sequence<String>) {
        common = Window(capacity: ModelQueue.windowLimit)
        lanes = Self.lanes(clients)
    }

    /// Up if anybody's model server is; then what is known of others that are away is the newest trouble.
    func summary(now: Availability.Instant) -> Availability.Summary {
        var summary = server.summary(now: now)
        if concurrency == 0, remoteSlots == 0, let remoteAway { return remoteAway }
        if remoteSlots > 0 { summary.state = .up }
        if summary.state == .up, summary.trouble == nil { summary.trouble = remoteAway?.trouble }
        return summary
    }

    func begin(at place: AttemptPlace) {
        if place.isLocal { running += 1 } else { remoteRunning += 1 }
    }

    func end(at place: AttemptPlace) {
        if place.isLocal { running -= 1 } else { remoteRunning -= 1 }
    }

    private var freeHere: Int { max(concurrency - running, 0) }
    private var freeRemote: Int { max(remoteSlots - remoteRunning, 0) }

    /// How many jobs may be on offer: one for each slot that waits, and one more, so that a slot need not wait for the
    /// next. While the model server is away, only a probe, and what other hosts take.
    func room(now: Availability.Instant) -> Int {
        switch server.gate(now: now) {
        case .open: return freeHere + freeRemote + 1
        case .probe where freeHere > 0: return freeRemote > 0 ? freeRemote + 1 : 1
        case .probe, .closed: return freeRemote > 0 ? freeRemote + 1 : 0
        }
    }

    /// How many slots wait for a job and may take one.
    func free(now: Availability.Instant) -> Int { roomHere(now: now) + freeRemote }

    /// How many of the jobs on offer this process may take.
    func roomHere(now: Availability.Instant) -> Int {
        switch server.gate(now: now) {
        case .open: freeHere
        case .probe: min(freeHere, 1)
        case .closed: 0
        }
    }

    /// Whether a slot waits for a job, wherever it is.
    var hasFree: Bool { freeHere + freeRemote > 0 }

    /// Whether jobs may be due: some are on offer or in a window, or the store may have more.
    var mayHaveDue: Bool {
        !offered.isEmpty || common.mayHaveDue || lanes.values.contains { $0.mayHaveDue }
    }

    /// Whether anybody takes jobs of this model.
    var isServed: Bool { concurrency + remoteSlots > 0 && !isPaused }

    /// Whether a window is running low while the store may have more.
    var mustRead: Bool {
        isServed && (common.mustRead || lanes.values.contains { $0.mustRead })
    }

    /// The job that comes next; nil while that is not known, or when none is due.
    ///
    /// - Parameter isPassed: whether the jobs of a client that has a lane are passed by at this moment.
    func best(
        skippingSuspects: Bool, now: Availability.Instant, passing isPassed: (_ client: String) -> Bool = { _ in false }
    ) -> Candidate? {
        // The best one that was not refused yet, else the one whose refusal is longest ago.
        let isInTurn = server.probesInTurn(now: now)
        func rank(_ candidate: Candidate) -> UInt64 { isInTurn ? server.refusalNumber(of: candidate.key) ?? 0 : 0 }
        func first(_ window: Window) -> Candidate? {
            isInTurn
                ? window.first(skippingSuspects: skippingSuspects, by: rank)
                : window.best(skippingSuspects: skippingSuspects)
        }
        guard !common.isUnknown else { return nil }
        var found = first(common)
        for (client, lane) in lanes where !isPassed(client) {
            guard !lane.isUnknown else { return nil }
            guard let candidate = first(lane) else { continue }
            guard let best = found, (rank(best), best) < (rank(candidate), candidate) else {
                found = candidate
                continue
            }
        }
        return found
    }

    /// The best one of a client that has a lane.
    func best(of client: String) -> Candidate? {
        lanes[client]?.best(skippingSuspects: false)
    }

    /// A job is no longer on offer: it was taken.
    func take(_ job: JobKey) -> Bool {
        guard offered.remove(job) != nil else { return false }
        common.leave(job)
        for client in lanes.keys { lanes[client]?.leave(job) }
        return true
    }

    func remove(_ candidate: Candidate) {
        if let client = candidate.client, lanes[client] != nil {
            lanes[client]?.remove(candidate)
        } else {
            common.remove(candidate)
        }
    }

    func insert(_ candidate: Candidate) {
        guard !offered.contains(candidate.key) else { return }
        if let client = candidate.client, lanes[client] != nil {
            lanes[client]?.insert(candidate)
        } else {
            common.insert(candidate)
        }
    }

    /// Begins to read all windows that run low; ``fill(_:_:isAll:)`` follows for each.
    func beginReading() -> [(owners: DueOwners, limit: Int)] {
        guard isServed else { return [] }
        var reads: [(DueOwners, Int)] = []
        if common.mustRead {
            reads.append((.everyone(but: Array(lanes.keys)), common.beginReading(offered: offered)))
        }
        for (client, lane) in lanes where lane.mustRead {
            guard let limit = lanes[client]?.beginReading(offered: offered) else { continue }
            reads.append((.client(client), limit))
        }
        return reads
    }

    /// Takes over what was read from the store; nil when reading failed.
    ///
    /// - Parameter isAll: whether the store has no more.
    func fill(_ owners: DueOwners, _ read: [Candidate]?, isAll: Bool) {
        switch owners {
        case .everyone: common.fill(read?.filter { !hasLane($0) }, isAll: isAll, offered: offered)
        case .client(let client): lanes[client]?.fill(read, isAll: isAll, offered: offered)
        }
    }

    private func hasLane(_ candidate: Candidate) -> Bool {
        candidate.client.map { lanes[$0] != nil } ?? false
    }

    /// Empties the windows: something may have been missed.
    func forget() {
        common.forget()
        for client in lanes.keys { lanes[client]?.forget() }
    }
}
