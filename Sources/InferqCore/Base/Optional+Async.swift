extension Optional where Wrapped: Sendable {
    /// As `flatMap`, with what must be waited for.
    package func asyncFlatMap<Value>(_ transform: (Wrapped) async throws -> Value?) async rethrows -> Value? {
        guard let self else { return nil }
        return try await transform(self)
    }
}
