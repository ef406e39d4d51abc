import TestSupport
import Testing

@testable import InferqCore

/// The law of retries: exponential backoff with full jitter, or what the model server asked for.
struct RetryPolicyTests {
    private let policy = RetryPolicy(base: .seconds(1), cap: .seconds(120), maxAttempts: 25)

    @Test(arguments: [(1, 1), (2, 2), (3, 4), (4, 8), (7, 64), (8, 120), (9, 120), (25, 120)])
    func theCeilingDoublesUpToTheCap(_ failures: Int, _ seconds: Int) {
        #expect(policy.ceiling(after: failures) == .seconds(seconds))
    }

    @Test
    func aCapBelowTheBaseHolds() {
        #expect(RetryPolicy(base: .seconds(9), cap: .seconds(2), maxAttempts: 3).ceiling(after: 1) == .seconds(2))
    }

    @Test
    func withoutABaseThereIsNoPause() {
        #expect(RetryPolicy(base: .zero, cap: .seconds(9), maxAttempts: 3).ceiling(after: 25) == .zero)
    }

    @Test(arguments: [1, 4, 12])
    func pausesAreDrawnEvenlyFromZeroToTheCeiling(_ failures: Int) {
        var random = SplitMix64(seed: UInt64(failures))
        let ceiling = policy.ceiling(after: failures)
        let parts = (0..<10_000).map { _ in
            policy.pause(after: failures, retryAfter: nil, jitter: .random(in: 0..<1, using: &random)) / ceiling
        }
        #expect(parts.allSatisfy { (0...1).contains($0) })
        // Ten equal classes of about a thousand: four standard deviations are 120.
        for tenth in 0..<10 {
            let count = parts.count { Int($0 * 10) == tenth }
            #expect(abs(count - 1000) < 120)
        }
        // The mean's standard deviation is 0.0029.
        #expect(abs(parts.reduce(0, +) / 10_000 - 0.5) < 0.012)
    }

    @Test(arguments: [0, 1, 30, 3600])
    func whatTheModelServerAskedForIsObeyedWithATenthOnTop(_ seconds: Int) {
        let asked = Duration.seconds(seconds)
        #expect(policy.pause(after: 1, retryAfter: asked, jitter: 0) == asked)
        let longest = policy.pause(after: 1, retryAfter: asked, jitter: 0.999_999)
        #expect(longest >= asked && longest <= asked * 1.1)
    }

    @Test
    func noModelServerMayAskForMoreThanAnHour() {
        #expect(policy.pause(after: 1, retryAfter: .seconds(86_400), jitter: 0) == .seconds(3600))
    }

    @Test
    func aPauseIsNeverNegative() {
        #expect(policy.pause(after: 1, retryAfter: .seconds(-5), jitter: 0.5) == .zero)
    }

    @Test(arguments: [(true, 1, true), (true, 24, true), (true, 25, false), (false, 1, false)])
    func anAttemptFollowsWhileTheCauseMayPassAndAttemptsAreLeft(_ mayPass: Bool, _ failures: Int, _ isAllowed: Bool) {
        #expect(policy.allows(Failure(.timeout, "", isRetryable: mayPass), after: failures) == isAllowed)
    }
}
