extension Optional where Wrapped: Sendable {
    /// As `map`, with what must be waited for.
    package func asyncMap<Value>(_ transform: (Wrapped) async throws -> Value) async rethrows -> Value? {
        guard let self else { return nil }
        return try await transform(self)
    }
}
