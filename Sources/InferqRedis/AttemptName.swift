import InferqCore

/// One attempt of one job of one gateway, as both sides name it.
struct AttemptName: Sendable, Hashable {
    /// The gateway's instance id.
    let gateway: String
    let job: UUIDv7
    let lease: Job.Lease

    init(gateway: String, job: UUIDv7, lease: Job.Lease) {
        self.gateway = gateway
        self.job = job
        self.lease = lease
    }

    /// `<job>.<lease>`: for heartbeats, which name the gateway apart.
    var short: String { "\(job).\(lease.number)" }

    init?(gateway: String, short: String) {
        let parts = short.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, let job = UUIDv7(parts[0]), let lease = Int64(parts[1]), lease > 0 else { return nil }
        self.init(gateway: gateway, job: job, lease: Job.Lease(number: lease))
    }
}

extension AttemptName {
    /// The attempt that an entry of either stream is about.
    init?(_ entry: StreamEntry, gateway: String) {
        guard let job = entry.text("job").flatMap({ UUIDv7($0) }),
            let lease = entry.integer("lease", in: Job.Lease.promised)
        else { return nil }
        self.init(gateway: gateway, job: job, lease: Job.Lease(number: Int64(lease)))
    }
}

extension Job.Lease {
    /// The numbers that a lease may have on its way through Redis.
    static var promised: ClosedRange<Int> { 1...(Int.max - 1) }
}
