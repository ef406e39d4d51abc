import InferqCore

/// The best due jobs that the scheduler keeps in memory, of one model and of one client or several. What is worse than the
/// last of them is read from the store when the window has run low.
struct Window {
    /// Candidates at most.
    private let capacity: Int
    /// The best one last.
    private var candidates: [Candidate] = []
    /// Whether every due job that was not offered is here.
    private var isComplete = false
    private var isReading = false
    /// What became due while the store was being read, and may be missing in what was read.
    private var arrivals: [Candidate] = []
    private var hasLostArrivals = false
    /// What left while the store was being read, and may still be in what was read.
    private var departures: Set<JobKey> = []

    init(capacity: Int) {
        self.capacity = capacity
    }

    /// Whether jobs may be due: some are here, or the store may have more.
    var mayHaveDue: Bool { !candidates.isEmpty || !isComplete }

    /// Whether no one can say which job is the best one before the store was read.
    var isUnknown: Bool { candidates.isEmpty && !isComplete }

    /// It is running low while the store may have more: read before it is empty, or all slots would wait.
    var mustRead: Bool { candidates.count <= capacity / 4 && !isComplete && !isReading }

    func best(skippingSuspects: Bool) -> Candidate? {
        skippingSuspects ? candidates.last { !$0.isSuspect } : candidates.last
    }

    /// The best of those that come first in an order of the caller's.
    func first(skippingSuspects: Bool, by rank: (Candidate) -> UInt64) -> Candidate? {
        candidates.reversed().filter { !skippingSuspects || !$0.isSuspect }.min { rank($0) < rank($1) }
    }

    mutating func remove(_ candidate: Candidate) {
        if isReading { departures.insert(candidate.key) }
        if candidates.last == candidate {
            candidates.removeLast()
        } else {
            candidates.removeAll { $0.key == candidate.key }
        }
    }

    /// A job was taken: what is being read may have it still, and it is not on offer any more.
    mutating func leave(_ job: JobKey) {
        if isReading { departures.insert(job) }
    }

    /// - Parameter candidate: one that is not on offer.
    mutating func insert(_ candidate: Candidate) {
        if isReading {
            departures.remove(candidate.key)
            if arrivals.count < 4 * capacity { arrivals.append(candidate) } else { hasLostArrivals = true }
        }
        // Worse than the last one: the store has it, and it is read in its turn.
        guard isComplete || candidates.first.map({ candidate < $0 }) == true else { return }
        insertSorted(candidate)
    }

    /// The store is being read; ``fill(_:isAll:offered:)`` follows.
    ///
    /// - Returns: how many jobs to read.
    mutating func beginReading(offered: Set<JobKey>) -> Int {
        isReading = true
        return capacity + offered.count
    }

    /// Takes over what was read from the store; nil when reading failed.
    ///
    /// - Parameter isAll: whether the store has no more.
    mutating func fill(_ read: [Candidate]?, isAll: Bool, offered: Set<JobKey>) {
        defer {
            isReading = false
            arrivals = []
            departures = []
            hasLostArrivals = false
        }
        guard let read, !hasLostArrivals else { return }
        candidates = read.reversed().filter { !offered.contains($0.key) && !departures.contains($0.key) }
        isComplete = isAll
        let worst = read.last
        for arrival in arrivals where !offered.contains(arrival.key) && !departures.contains(arrival.key) {
            if isAll || worst.map({ arrival < $0 }) == true { insertSorted(arrival) }
        }
    }

    /// Empties it: something may have been missed.
    mutating func forget() {
        candidates = []
        isComplete = false
        // What a read that is on its way brings is not all: what has left meanwhile may be wanted again.
        if isReading { hasLostArrivals = true }
    }

    private mutating func insertSorted(_ candidate: Candidate) {
        // Sorted from worse to better.
        var low = 0
        var high = candidates.count
        while low < high {
            let middle = (low + high) / 2
            if candidate < candidates[middle] { low = middle + 1 } else { high = middle }
        }
        if low < candidates.count, candidates[low] == candidate { return }
        candidates.insert(candidate, at: low)
        guard candidates.count > capacity else { return }
        candidates.removeFirst()
        isComplete = false
    }
}
