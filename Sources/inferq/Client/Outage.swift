/// How long to wait before the next try while the gateway is away, and when to give up.
struct Outage: Sendable {
    /// No pause grows past it.
    static let longestPause: Duration = .seconds(5)
    /// Counted from the first failure after the last success: longer than any restart takes.
    static let patience: Duration = .seconds(600)

    private var began: ContinuousClock.Instant?
    private var pause: Duration?

    /// How many tries in a row have failed.
    private(set) var failures = 0

    /// The pause after a failure, nil if it is time to give up.
    ///
    /// - Parameters:
    ///   - retry: What the server asked for on the stream; two seconds if it did not.
    ///   - retryAfter: What the server asked for in its answer; it may be longer than the longest pause.
    mutating func nextPause(
        after retry: Duration?,
        retryAfter: Duration? = nil,
        now: ContinuousClock.Instant
    ) -> Duration? {
        let start = began ?? now
        began = start
        failures += 1
        guard now - start < Self.patience else { return nil }
        // At least a millisecond, so that doubling it grows, and a server that asks for 0 is not called in a circle.
        let next = min(Self.longestPause, pause.map { $0 * 2 } ?? max(.milliseconds(1), retry ?? .seconds(2)))
        pause = next
        return max(next, min(retryAfter ?? .zero, .seconds(60)))
    }

    /// The gateway has answered.
    mutating func end() {
        self = Outage()
    }
}
