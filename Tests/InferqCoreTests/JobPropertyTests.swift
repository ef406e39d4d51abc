import TestSupport
import Testing

@testable import InferqCore

/// A random walk over the state machine: whatever happens in whatever order, these rules hold.
struct JobPropertyTests {
    private enum Step: CaseIterable {
        case claim, complete, fail, interrupt, cancel, expire, recover, becomeDue
    }

    /// What one step did.
    private struct Taken {
        let step: Step
        let before: Job
        let after: Job
        /// Nil: refused.
        let drafts: [JobEvent.Draft]?
        /// The lease that the step named, if it names one.
        let lease: Job.Lease?
    }

    /// About ten thousand steps, over as many jobs as they use up.
    private static let walk: [[Taken]] = {
        var random = SplitMix64(seed: 0x1F)
        var jobs: [[Taken]] = []
        for number in 0..<500 {
            var now = Job.submitted
            var job = Job.sample(
                Int64(number),
                maxAttempts: .random(in: 1...5, using: &random),
                delay: Bool.random(using: &random) ? .zero : .seconds(5),
                expiresAt: Bool.random(using: &random) ? now + .seconds(20) : nil
            )
            var steps: [Taken] = []
            for _ in 0..<20 {
                now = now + .milliseconds(Int.random(in: 0...4000, using: &random))
                let (next, taken) = walked(job, at: now, &random)
                job = next
                steps.append(taken)
            }
            jobs.append(steps)
        }
        return jobs
    }()

    private static func walked(
        _ before: Job,
        at now: Timestamp,
        _ random: inout SplitMix64
    ) -> (Job, Taken) {
        var step = Step.allCases.randomElement(using: &random) ?? .claim
        // Otherwise most jobs would be cancelled before anything has happened.
        if step == .cancel, Int.random(in: 0..<8, using: &random) > 0 { step = .claim }
        var after = before
        var drafts: [JobEvent.Draft]?
        var named: Job.Lease?
        let jitter = Double.random(in: 0..<1, using: &random)
        let lease = Job.Lease(number: before.lease.number + Int64.random(in: -1...2, using: &random) / 2)
        let retry = RetryPolicy(
            base: .seconds(Int.random(in: 0...2, using: &random)),
            cap: .seconds(10),
            maxAttempts: before.maxAttempts
        )
        do throws(IllegalTransition) {
            switch step {
            case .claim: drafts = try after.claim(now: .at(now))
            case .complete, .fail:
                named = lease
                let outcome: Outcome =
                    step == .complete ? .answered("1") : .failed(isRetryable: Int.random(in: 0..<9, using: &random) > 0)
                drafts = try after.finish(lease, with: outcome, retry: retry, jitter: jitter, now: .at(now))
            case .interrupt:
                named = lease
                drafts = try after.interrupt(lease, reason: "test", now: .at(now))
            case .cancel: drafts = after.cancel(now: .at(now))
            case .expire: drafts = try after.expire(now: .at(now))
            case .recover:
                drafts = try after.recover(
                    isCrash: .random(using: &random), wasAlone: .random(using: &random), now: .at(now)
                )
            case .becomeDue:
                try after.becomeDue()
                drafts = []
            }
        } catch {
            drafts = nil
        }
        return (after, Taken(step: step, before: before, after: after, drafts: drafts, lease: named))
    }

    private static var steps: [Taken] { walk.flatMap { $0 } }

    @Test
    func theWalkReachesEveryStateByEveryStep() {
        let steps = Self.steps
        #expect(steps.count == 10_000)
        for step in Step.allCases {
            #expect(steps.contains { $0.step == step && $0.drafts != nil }, "\(step) was never taken")
            // A cancel is never refused.
            #expect(step == .cancel || steps.contains { $0.step == step && $0.drafts == nil }, "\(step) never refused")
        }
        #expect(Set(steps.map(\.after.status)) == Set(Status.allCases))
    }

    @Test
    func finalStatesAreFinal() {
        for taken in Self.steps where taken.before.status.isFinal {
            #expect(taken.after == taken.before)
            #expect(taken.drafts ?? [] == [])
        }
    }

    @Test
    func aRefusedStepChangesNothing() {
        for taken in Self.steps where taken.drafts == nil { #expect(taken.after == taken.before) }
    }

    @Test
    func onlyTheCurrentLeaseEndsAnAttempt() {
        for taken in Self.steps {
            guard let lease = taken.lease else { continue }
            #expect((taken.drafts != nil) == (taken.before.state == .running(lease)))
        }
    }

    @Test
    func everyClaimHasALeaseOfItsOwn() {
        for steps in Self.walk {
            let leases = steps.filter { $0.step == .claim && $0.drafts != nil }.map(\.after.lease.number)
            #expect(Set(leases).count == leases.count)
            #expect(leases == leases.sorted())
        }
    }

    @Test
    func attemptsCountClaimsAndNothingElse() {
        for taken in Self.steps {
            let isClaim = taken.step == .claim && taken.drafts != nil
            #expect(taken.after.attempt == taken.before.attempt + (isClaim ? 1 : 0))
        }
    }

    @Test
    func failuresCountFailedAttemptsAndNothingElse() {
        for taken in Self.steps {
            let isFailure = taken.step == .fail && taken.drafts != nil
            #expect(taken.after.failures == taken.before.failures + (isFailure ? 1 : 0))
            #expect(taken.after.failures <= taken.after.attempt)
            #expect(taken.after.failures <= taken.after.maxAttempts)
        }
    }

    @Test
    func everyChangeThatAClientCanSeeHasAnEvent() {
        for taken in Self.steps where taken.before.status != taken.after.status {
            #expect(taken.drafts?.isEmpty == false)
        }
    }

    @Test
    func theLastEventOfAChangeTellsTheStateAfterIt() {
        for taken in Self.steps {
            guard let last = taken.drafts?.last else { continue }
            #expect(last.status == taken.after.status)
            #expect(last.attempt == taken.after.attempt)
            #expect(last.runAt == taken.after.runAt)
        }
    }

    @Test
    func onlyAnAttemptThatIsRepeatedHasAnEventBeforeItsLast() {
        for taken in Self.steps {
            guard let drafts = taken.drafts, drafts.count > 1 else { continue }
            #expect(drafts.map(\.kind) == [.attemptFailed, .updated])
            #expect(drafts.map(\.status) == [.running, .pending])
        }
    }

    @Test
    func aJobThatEndsHasExactlyOneFinalEventAndItIsItsLast() {
        for steps in Self.walk {
            let drafts = steps.flatMap { $0.drafts ?? [] }
            let hasEnded = steps.last?.after.status.isFinal == true
            #expect(drafts.count { $0.status.isFinal } == (hasEnded ? 1 : 0))
            #expect(drafts.last?.status.isFinal ?? false == hasEnded)
        }
    }

    @Test
    func anEndedJobKnowsWhenAndOnlyAFailedOneWhy() {
        for taken in Self.steps {
            #expect((taken.after.finishedAt != nil) == taken.after.status.isFinal)
            #expect((taken.after.output != nil) == (taken.after.status == .completed))
            if taken.after.status.isFinal { #expect((taken.after.error != nil) == (taken.after.status == .failed)) }
        }
    }
}
