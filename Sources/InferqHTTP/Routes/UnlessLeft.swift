import InferqCore

extension Gateway {
    /// Runs `work`, and ends it when the client hangs up or the gateway stops.
    ///
    /// - Throws: ``APIError/stopping`` in these cases, or what `work` throws.
    func unlessLeft<Value: Sendable>(
        _ connection: Connection,
        _ work: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        let bell = Bell()
        queue.hub.listenForStop(bell)
        connection.onHangUp(ring: bell)
        defer {
            connection.onHangUp(ring: nil)
            queue.hub.leaveStop(bell)
        }
        return try await withThrowingTaskGroup(of: Value?.self) { group in
            group.addTask { try await work() }
            group.addTask {
                _ = await bell.wait()
                return nil
            }
            defer { group.cancelAll() }
            guard let value = try await group.next() ?? nil else { throw APIError.stopping }
            return value
        }
    }
}
