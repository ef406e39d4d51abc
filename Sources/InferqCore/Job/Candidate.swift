/// A due job as the scheduler sees it. The better one is the smaller.
package struct Candidate: Sendable, Hashable, Comparable {
    package let key: JobKey
    package let priority: Int
    package let isSuspect: Bool
    /// Whose job it is.
    package let client: String?

    package init(
        key: JobKey,
        priority: Int,
        isSuspect: Bool,
        client: String? = nil
    ) {
        self.key = key
        self.priority = priority
        self.isSuspect = isSuspect
        self.client = client
    }

    package static func < (left: Candidate, right: Candidate) -> Bool {
        left.priority == right.priority ? left.key < right.key : left.priority > right.priority
    }
}

extension Job {
    package var candidate: Candidate {
        Candidate(key: key, priority: options.priority, isSuspect: isSuspect, client: options.client)
    }
}
