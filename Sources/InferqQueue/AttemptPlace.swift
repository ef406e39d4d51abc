import InferqCore

/// Where an attempt runs.
enum AttemptPlace: Sendable, Equatable {
    /// In this process.
    case local
    /// At a worker on another host, which was promised this lease.
    case remote(worker: String, lease: Job.Lease)

    var isLocal: Bool { self == .local }

    /// The lease that the claim must come to; nil: whichever is next.
    var promisedLease: Job.Lease? {
        if case .remote(_, let lease) = self { lease } else { nil }
    }

    /// The worker on another host.
    var worker: String? {
        if case .remote(let worker, _) = self { worker } else { nil }
    }
}
