/// A call that the model server did not take: it is away or still loading. No attempt has failed by it; the job goes
/// back to its place, and its line waits.
package struct Refusal: Sendable, Equatable {
    package enum Kind: String, Sendable {
        /// No connection could be made.
        case unreachable
        /// A new connection was reset before a byte of an answer.
        case reset
        /// The answer was a 503 which says that the model is loading.
        case loading
        /// The answer was an error, and the health path said right after it that the server is not ready.
        case notReady = "not_ready"
    }

    package var kind: Kind
    /// Why, and what the attempt fails with should the job itself turn out to be the cause.
    package var failure: Failure
    /// The pause that the model server asked for.
    package var retryAfter: Duration?

    package init(_ kind: Kind, _ failure: Failure, retryAfter: Duration? = nil) {
        self.kind = kind
        self.failure = failure
        self.retryAfter = retryAfter
    }
}
