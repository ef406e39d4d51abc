import InferqCore

/// How many jobs each client has on offer or running, over all models, and how many those may be.
///
/// What is on offer counts: it may be taken at any moment. Jobs of "anonymous" and of no client are not followed, since they
/// have no limit.
struct ClientLoads {
    private struct Entry {
        /// Nil while it is not known: the job was taken though it was no longer on offer, as far as this process knew.
        var client: String?
        var isOffered = false
        /// Who has taken it: of an offer that was made twice, the one that came too late as well, for a moment.
        var takers = 0

        var isOver: Bool { !isOffered && takers == 0 }
    }

    /// By client; each is 1 or more.
    private(set) var limits: [String: Int] = [:]
    private var jobs: [JobKey: Entry] = [:]
    private var counts: [String: Int] = [:]

    /// - Parameter limits: those of 0 and of "anonymous" are none.
    mutating func setLimits(_ limits: [String: Int]) {
        self.limits = limits.filter { $0.value > 0 && $0.key != ClientName.anonymous }
    }

    /// Whether a client has as many jobs on offer or running as may run.
    func isFull(_ client: String) -> Bool {
        limits[client].map { counts[client, default: 0] >= $0 } ?? false
    }

    /// The clients that get nothing more at this moment.
    var full: Set<String> { Set(limits.keys.filter(isFull)) }

    mutating func offer(_ job: JobKey, of client: String?) {
        guard let client, client != ClientName.anonymous else { return }
        know(job, client)
        jobs[job]?.isOffered = true
    }

    /// - Parameter wasOffered: as far as this process knew.
    mutating func take(_ job: JobKey, wasOffered: Bool) {
        if jobs[job] == nil {
            // On offer and not followed: it needs none.
            guard !wasOffered else { return }
            jobs[job] = Entry()
        }
        jobs[job]?.takers += 1
        jobs[job]?.isOffered = false
    }

    /// Takes up a job that was found at work.
    mutating func take(_ job: JobKey, of client: String?) {
        guard let client, client != ClientName.anonymous else { return }
        know(job, client)
        jobs[job]?.takers += 1
    }

    /// Whether a job that was taken may be run: the last word, once its row is read.
    mutating func admits(_ job: JobKey, of client: String?) -> Bool {
        guard let client, client != ClientName.anonymous else { return true }
        let isFollowed = jobs[job] != nil
        if isFollowed { know(job, client) }
        guard let limit = limits[client] else { return true }
        return counts[client, default: 0] + (isFollowed ? 0 : 1) <= limit
    }

    /// - Returns: its client, if that may have another one now and could not before.
    mutating func end(_ job: JobKey) -> String? {
        guard let entry = jobs[job], entry.takers > 0 else { return nil }
        jobs[job]?.takers -= 1
        return forgetIfOver(job)
    }

    /// It is on offer no longer.
    ///
    /// - Returns: as of ``end(_:)``.
    mutating func withdraw(_ job: JobKey) -> String? {
        guard jobs[job]?.isOffered == true else { return nil }
        jobs[job]?.isOffered = false
        return forgetIfOver(job)
    }

    private mutating func know(_ job: JobKey, _ client: String) {
        guard jobs[job]?.client == nil else { return }
        jobs[job, default: Entry()].client = client
        counts[client, default: 0] += 1
    }

    private mutating func forgetIfOver(_ job: JobKey) -> String? {
        guard let entry = jobs[job], entry.isOver else { return nil }
        jobs[job] = nil
        guard let client = entry.client else { return nil }
        let wasFull = isFull(client)
        counts[client, default: 1] -= 1
        if counts[client] == 0 { counts[client] = nil }
        return wasFull && !isFull(client) ? client : nil
    }
}
