import InferqCore

/// Waits for the end of a job, on behalf of one client.
struct JobWait: Sendable {
    let gateway: Gateway
    let connection: Connection

    /// How a wait ended.
    enum Outcome: Sendable {
        /// The attempt that runs has begun to answer.
        case streaming(PieceRun, StreamHead)
        /// The job, its bodies read as far as they are in its row.
        case ended(Job)
        case timeUp
        /// The client has closed its side.
        case hungUp
        /// The gateway stops.
        case stopping
        /// The job was deleted meanwhile.
        case gone
    }

    /// - Returns: the ended job; nil when `limit` has passed, the client has hung up, or the gateway stops.
    func end(of id: UUIDv7, within limit: Duration) async throws -> Job? {
        guard case .ended(let job) = try await outcome(of: id, within: limit) else { return nil }
        return job
    }

    /// - Parameters:
    ///   - limit: nil: as long as the client waits.
    ///   - follows: whether the wait ends when the job's answer begins to come.
    func outcome(of id: UUIDv7, within limit: Duration?, follows: Bool = false) async throws -> Outcome {
        let bell = Bell()
        gateway.queue.hub.listen(to: id.key, bell, hearsOutput: follows)
        connection.onHangUp(ring: bell)
        let deadline = limit.map { gateway.wheel.ring(bell, after: $0) }
        defer {
            if let deadline { gateway.wheel.cancel(deadline) }
            connection.onHangUp(ring: nil)
            gateway.queue.hub.leave(id.key, bell)
        }
        guard let job = try await gateway.store.head(id) else { return .gone }
        if job.status.isFinal { return try await whole(id) ?? .gone }
        // An attempt may be at its answer already.
        if follows, job.status == .running { bell.ring(.output) }
        while true {
            let rings = await bell.wait()
            if rings.contains(.output), !rings.contains(.end) {
                if let (run, head) = gateway.queue.streams.beginning(of: id.key) { return .streaming(run, head) }
                if let (run, head) = try await gateway.store.runningStream(of: id.key) { return .streaming(run, head) }
            }
            if rings.isSubset(of: [.event, .output]) { continue }
            // An end that came together with the end of the wait still counts.
            if let ended = try await whole(id) { return ended }
            if rings.contains(.hangUp) { return .hungUp }
            return rings.contains(.stop) ? .stopping : .timeUp
        }
    }

    private func whole(_ id: UUIDv7) async throws -> Outcome? {
        guard let job = try await gateway.store.job(id), job.status.isFinal else { return nil }
        return .ended(job)
    }
}
