import TestSupport
import Testing

@testable import InferqCore

/// The rules of the state machine one by one, as `docs/job-lifecycle.md` tells them.
struct JobTests {
    private let now = Job.submitted

    private func running(maxAttempts: Int = 3) throws -> Job {
        var job = Job.sample(maxAttempts: maxAttempts)
        _ = try job.claim(now: .at(now))
        return job
    }

    @Test
    func aJobOfTheFutureIsNotClaimed() {
        var job = Job.sample(delay: .seconds(1))
        #expect(throws: IllegalTransition(job.id, job.status, "claim")) { try job.claim(now: .at(now)) }
    }

    @Test
    func aJobOfTheFutureIsClaimedOnceItIsDue() throws {
        var job = Job.sample(delay: .seconds(1))
        try job.becomeDue()
        _ = try job.claim(now: .at(now + .seconds(1)))
        #expect(job.status == .running)
    }

    @Test
    func theStartOfTheFirstAttemptIsKept() throws {
        var job = try running()
        _ = try job.interrupt(job.lease, reason: "test", now: .at(now))
        _ = try job.claim(now: .at(now + .seconds(9)))
        #expect(job.startedAt == now)
    }

    @Test
    func anAnswerCompletesTheJobAndClearsItsError() throws {
        var job = try running()
        _ = try job.finish(job.lease, with: .failed(), retry: .sample, jitter: 0, now: .at(now))
        _ = try job.claim(now: .at(now))
        _ = try job.finish(job.lease, with: .answered("1"), retry: .sample, jitter: 0, now: .at(now))
        #expect(job.state == .completed(finishedAt: now))
        #expect(job.error == nil)
    }

    @Test
    func aFailedAttemptIsRepeatedAfterThePause() throws {
        var job = try running()
        _ = try job.finish(job.lease, with: .failed(), retry: .sample, jitter: 0.5, now: .at(now))
        #expect(job.runAt == now + .milliseconds(500))
        #expect(job.state == .pending(isDue: false))
    }

    @Test
    func theEventOfAFailedAttemptHasItsCause() throws {
        var job = try running()
        let drafts = try job.finish(job.lease, with: .failed(), retry: .sample, jitter: 0, now: .at(now))
        #expect(drafts.first?.error == Failure(.timeout, "too slow", attempt: 1, isRetryable: true))
    }

    @Test
    func aFailureThatIsForGoodIsNotRepeated() throws {
        var job = try running()
        _ = try job.finish(job.lease, with: .failed(isRetryable: false), retry: .sample, jitter: 0, now: .at(now))
        #expect(job.state == .failed(finishedAt: now))
    }

    @Test
    func aJobFailsWithItsLastAttempt() throws {
        var job = try running(maxAttempts: 1)
        let once = RetryPolicy(base: .zero, cap: .zero, maxAttempts: 1)
        _ = try job.finish(job.lease, with: .failed(), retry: once, jitter: 0, now: .at(now))
        #expect(job.state == .failed(finishedAt: now))
    }

    @Test
    func aLateOutcomeIsRefused() throws {
        var job = try running()
        let late = job.lease
        _ = try job.interrupt(late, reason: "test", now: .at(now))
        _ = try job.claim(now: .at(now))
        #expect(throws: IllegalTransition(job.id, job.status, "finish")) {
            try job.finish(late, with: .answered("1"), retry: .sample, jitter: 0, now: .at(now))
        }
    }

    @Test
    func anInterruptedAttemptCountsAsStartedAndNotAsFailed() throws {
        var job = try running()
        _ = try job.interrupt(job.lease, reason: "test", now: .at(now))
        #expect(job.attempt == 1)
        #expect(job.failures == 0)
        #expect(job.isDue)
    }

    @Test
    func cancellingAnEndedJobIsNoErrorAndNoEvent() throws {
        var job = try running()
        _ = try job.finish(job.lease, with: .answered("1"), retry: .sample, jitter: 0, now: .at(now))
        #expect(job.cancel(now: .at(now)) == [])
        #expect(job.status == .completed)
    }

    @Test
    func aJobExpiresOnlyBeforeItsFirstAttempt() throws {
        var waiting = Job.sample(expiresAt: now)
        _ = try waiting.expire(now: .at(now))
        #expect(waiting.error?.code == .expired)

        var begun = Job.sample(expiresAt: now)
        _ = try begun.claim(now: .at(now))
        _ = try begun.interrupt(begun.lease, reason: "test", now: .at(now))
        #expect(throws: IllegalTransition(begun.id, begun.status, "expire")) { try begun.expire(now: .at(now)) }
    }

    @Test
    func aJobDoesNotExpireEarly() {
        var job = Job.sample(expiresAt: now + .milliseconds(1))
        #expect(throws: IllegalTransition(job.id, job.status, "expire")) { try job.expire(now: .at(now)) }
    }
}

// MARK: The poison guard

/// What lay in a start's way: the state of the machine and of the other jobs.
enum Fall: Sendable {
    case crashAlone, crashInCompany, powerCut
    /// Nothing went wrong: the attempt ended in a failure.
    case ended
}

struct PoisonGuardTests {
    /// - Returns: the job after it was claimed and fell, once for each of `falls`.
    private func fallen(_ falls: [Fall]) throws -> Job {
        let never = RetryPolicy(base: .zero, cap: .zero, maxAttempts: 25)
        var job = Job.sample(maxAttempts: 25)
        for fall in falls {
            _ = try job.claim(now: .at(Job.submitted))
            switch fall {
            case .crashAlone: _ = try job.recover(isCrash: true, wasAlone: true, now: .at(Job.submitted))
            case .crashInCompany: _ = try job.recover(isCrash: true, wasAlone: false, now: .at(Job.submitted))
            case .powerCut: _ = try job.recover(isCrash: false, wasAlone: true, now: .at(Job.submitted))
            case .ended:
                _ = try job.finish(job.lease, with: .failed(), retry: never, jitter: 0, now: .at(Job.submitted))
            }
        }
        return job
    }

    @Test(
        arguments: [
            ([], false),
            ([.crashAlone], false),
            ([.crashAlone, .crashAlone], true),
            ([.crashInCompany, .crashInCompany], true),
            // Suspect until an attempt has ended, however often it falls in company.
            ([.crashInCompany, .crashInCompany, .crashInCompany, .crashInCompany], true),
            ([.crashAlone, .powerCut], false),
            ([.powerCut, .powerCut, .powerCut, .powerCut], false),
            ([.crashAlone, .crashAlone, .powerCut], true),
            ([.crashAlone, .crashAlone, .ended], false),
            ([.crashAlone, .ended, .crashAlone], false),
        ] as [([Fall], Bool)])
    func twoCrashesInARowMakeASuspect(_ falls: [Fall], _ isSuspect: Bool) throws {
        #expect(try fallen(falls).isSuspect == isSuspect)
    }

    @Test(
        arguments: [
            ([.crashAlone, .crashAlone, .crashAlone], .failed),
            ([.crashInCompany, .crashInCompany, .crashAlone], .failed),
            ([.crashAlone, .crashAlone, .powerCut, .crashAlone], .failed),
            ([.crashAlone, .crashAlone, .crashInCompany, .crashAlone], .failed),
            ([.crashAlone, .crashAlone, .crashInCompany], .pending),
            ([.crashAlone, .crashAlone, .powerCut], .pending),
            ([.crashAlone, .crashAlone, .ended, .crashAlone], .pending),
            ([.crashAlone, .crashAlone, .ended, .crashAlone, .crashAlone], .pending),
        ] as [([Fall], Status)])
    func onlyAThirdCrashAlonePoisons(_ falls: [Fall], _ status: Status) throws {
        let job = try fallen(falls)
        #expect(job.status == status)
        #expect((job.error?.code == .poisoned) == (status == .failed))
    }

    @Test
    func aCrashIsNoFailureOfTheJob() throws {
        let job = try fallen([.crashAlone, .crashInCompany, .powerCut])
        #expect(job.failures == 0)
        #expect(job.attempt == 3)
    }

    @Test
    func crashesOfWorkersElsewhereCountLikeThoseOfTheGateway() throws {
        var job = Job.sample(maxAttempts: 25)
        for _ in 0..<2 {
            _ = try job.claim(now: .at(Job.submitted))
            let told = try job.crash(job.lease, wasAlone: false, now: .at(Job.submitted))
            #expect(told.last?.text?.contains("its worker crashed") == true)
        }
        #expect(job.isSuspect)
        _ = try job.claim(now: .at(Job.submitted))
        _ = try job.crash(job.lease, wasAlone: true, now: .at(Job.submitted))
        #expect(job.error?.code == .poisoned)
    }

    @Test
    func aCrashUnderALeaseThatHasPassedOnChangesNothing() throws {
        var job = Job.sample()
        _ = try job.claim(now: .at(Job.submitted))
        let stale = Job.Lease(number: 0)
        #expect(throws: IllegalTransition.self) { try job.crash(stale, wasAlone: true, now: .at(Job.submitted)) }
    }
}
