import InferqCore

/// Waits for the end of a job, on behalf of one client.
struct JobWait: Sendable {
    let gateway: Gateway
    let connection: Connection

    /// - Returns: the ended job, its bodies read as far as they lie in its row; nil when `limit` has passed, the client
    ///   has hung up, or the gateway stops.
    func end(of id: UUIDv7, within limit: Duration) async throws -> Job? {
        let bell = Bell()
        gateway.queue.hub.listen(to: id.key, bell)
        connection.onHangUp(ring: bell)
        let deadline = gateway.wheel.ring(bell, after: limit)
        defer {
            gateway.wheel.cancel(deadline)
            connection.onHangUp(ring: nil)
            gateway.queue.hub.leave(id.key, bell)
        }
        while true {
            guard let job = try await gateway.store.head(id) else { return nil }
            if job.status.isFinal { return try await gateway.store.job(id) }
            let rings = await bell.wait()
            // An event that came together with the end of the wait is still looked at.
            if !rings.isDisjoint(with: [.deadline, .hangUp, .stop]), !rings.contains(.event) { return nil }
            if rings.contains(.stop) || rings.contains(.hangUp) {
                let last = try await gateway.store.job(id)
                return last?.status.isFinal == true ? last : nil
            }
        }
    }
}
