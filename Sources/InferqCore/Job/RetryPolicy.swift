/// When a failed attempt is repeated: exponential backoff with full jitter.
///
/// The n-th failure waits a time drawn evenly from `0 ... min(cap, base * 2^(n-1))`. Full jitter keeps jobs that failed
/// together from coming back together (Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
package struct RetryPolicy: Sendable, Equatable {
    package var base: Duration
    package var cap: Duration
    package var maxAttempts: Int
    package var afterOutput = AfterOutput.fail

    /// A model server may ask for a pause of at most this long; a longer one is taken for a mistake.
    package static let longestRetryAfter: Duration = .seconds(3600)

    package init(base: Duration, cap: Duration, maxAttempts: Int) {
        self.base = base
        self.cap = cap
        self.maxAttempts = maxAttempts
    }

    /// The same, but that the first failure is the last.
    package var never: RetryPolicy {
        var policy = self
        policy.maxAttempts = 0
        return policy
    }

    /// Whether one more attempt follows after `failures` failed ones, the last of them with `failure`.
    func allows(_ failure: Failure, after failures: Int) -> Bool {
        failure.isRetryable && failures < maxAttempts
    }

    /// The pause after the `failures`-th failure (1 is the first).
    ///
    /// - Parameters:
    ///   - retryAfter: what the model server asked for; obeyed in place of the backoff, with up to 10 % on top so that
    ///     all who were told the same do not come at once.
    ///   - jitter: a number drawn evenly from 0 ..< 1.
    func pause(after failures: Int, retryAfter: Duration?, jitter: Double) -> Duration {
        if let retryAfter {
            let asked = min(max(retryAfter, .zero), Self.longestRetryAfter)
            return asked + asked * (jitter * 0.1)
        }
        return ceiling(after: failures) * jitter
    }

    /// The longest pause after the `failures`-th failure.
    func ceiling(after failures: Int) -> Duration {
        var ceiling = base
        for _ in 1..<max(failures, 1) {
            ceiling *= 2
            if ceiling >= cap { return cap }
        }
        return min(ceiling, cap)
    }
}
