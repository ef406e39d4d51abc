import InferqCore

/// One model's place in the scheduler: its slots, what was offered, and a window of the best candidates.
struct Line {
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
    var isReading = false
    /// Whether this process may call the model server.
    var server = Availability()

    /// The best due jobs, the best one last.
    private var window: [Candidate] = []
    /// Whether every due job that was not offered is in the window.
    private var isComplete = false
    /// What became due while the store was being read, and may be missing in what was read.
    private var arrivals: [Candidate] = []
    private var hasLostArrivals = false
    /// What left the window while the store was being read, and may still be in what was read.
    private var departures: Set<JobKey> = []

    /// What workers on other hosts say of model servers that are away.
    var remoteAway: Availability.Summary?

    /// Up if anybody's model server is; then what is known of others that are away is the newest trouble.
    func summary(now: Availability.Instant) -> Availability.Summary {
        var summary = server.summary(now: now)
        if concurrency == 0, remoteSlots == 0, let remoteAway { return remoteAway }
        if remoteSlots > 0 { summary.state = .up }
        if summary.state == .up, summary.trouble == nil { summary.trouble = remoteAway?.trouble }
        return summary
    }

    mutating func begin(at place: AttemptPlace) {
        if place.isLocal { running += 1 } else { remoteRunning += 1 }
    }

    mutating func end(at place: AttemptPlace) {
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

    /// Whether jobs may be due: some are on offer or in the window, or the store may have more.
    var mayHaveDue: Bool { !window.isEmpty || !offered.isEmpty || !isComplete }

    /// Whether anybody takes jobs of this model.
    var isServed: Bool { concurrency + remoteSlots > 0 && !isPaused }

    /// A window that is running low while the store may have more: read before it is empty, or all slots would wait.
    var mustRead: Bool {
        window.count <= Scheduler.windowLimit / 4 && !isComplete && !isReading && isServed
    }

    func best(skippingSuspects: Bool, now: Availability.Instant) -> Candidate? {
        guard server.probesInTurn(now: now) else {
            return skippingSuspects ? window.last { !$0.isSuspect } : window.last
        }
        // The best one that was not refused yet, else the one whose refusal is longest ago.
        let admitted = window.reversed().filter { !skippingSuspects || !$0.isSuspect }
        return admitted.min { (server.refusalNumber(of: $0.key) ?? 0) < (server.refusalNumber(of: $1.key) ?? 0) }
    }

    mutating func remove(_ candidate: Candidate) {
        if isReading { departures.insert(candidate.key) }
        if window.last == candidate {
            window.removeLast()
        } else {
            window.removeAll { $0.key == candidate.key }
        }
    }

    mutating func insert(_ candidate: Candidate) {
        guard !offered.contains(candidate.key) else { return }
        if isReading {
            departures.remove(candidate.key)
            if arrivals.count < 4 * Scheduler.windowLimit { arrivals.append(candidate) } else { hasLostArrivals = true }
        }
        // Worse than the window's end: the store has it, and it is read in its turn.
        guard isComplete || window.first.map({ candidate < $0 }) == true else { return }
        insertSorted(candidate)
    }

    /// Takes over what was read from the store; nil when reading failed.
    mutating func fill(_ read: [Candidate]?, isAll: Bool) {
        defer {
            isReading = false
            arrivals = []
            departures = []
            hasLostArrivals = false
        }
        guard let read, !hasLostArrivals else { return }
        window = read.reversed().filter { !offered.contains($0.key) && !departures.contains($0.key) }
        isComplete = isAll
        let worst = read.last
        for arrival in arrivals where !offered.contains(arrival.key) && !departures.contains(arrival.key) {
            if isAll || worst.map({ arrival < $0 }) == true { insertSorted(arrival) }
        }
    }

    /// Empties the window: something may have been missed.
    mutating func forget() {
        window = []
        isComplete = false
        // What a read that is on its way brings is not all: what has left meanwhile may be wanted again.
        if isReading { hasLostArrivals = true }
    }

    private mutating func insertSorted(_ candidate: Candidate) {
        // The best one stands last, so the window is sorted from worse to better.
        var low = 0
        var high = window.count
        while low < high {
            let middle = (low + high) / 2
            if candidate < window[middle] { low = middle + 1 } else { high = middle }
        }
        if low < window.count, window[low] == candidate { return }
        window.insert(candidate, at: low)
        guard window.count > Scheduler.windowLimit else { return }
        window.removeFirst()
        isComplete = false
    }
}
