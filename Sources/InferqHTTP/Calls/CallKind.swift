/// What becomes of a request for a model server.
enum CallKind: Sendable {
    /// Queued, stored and repeated.
    case job
    /// Passed to the model server at once, and forgotten.
    case handedThrough
}
