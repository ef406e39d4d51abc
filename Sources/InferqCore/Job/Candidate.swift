/// A due job as the scheduler sees it. The better one is the smaller.
struct Candidate: Sendable, Hashable, Comparable {
    let key: JobKey
    let priority: Int
    let isSuspect: Bool

    static func < (left: Candidate, right: Candidate) -> Bool {
        left.priority == right.priority ? left.key < right.key : left.priority > right.priority
    }
}

extension Job {
    var candidate: Candidate {
        Candidate(key: key, priority: options.priority, isSuspect: isSuspect)
    }
}
