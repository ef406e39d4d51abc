import TestSupport
import Testing

@testable import InferqCore
@testable import InferqQueue
@testable import InferqStore

/// What follows from calls and health answers, in tables of moments: no clock, no socket.
struct AvailabilityTests {
    private let begin = ContinuousClock.now
    private let wall = Timestamp(milliseconds: 1_000_000)
    private let a = JobKey(value: 1)
    private let b = JobKey(value: 2)
    private var server = Availability(since: Timestamp(milliseconds: 0))

    private func at(_ seconds: Double) -> Availability.Instant { begin + .milliseconds(Int(seconds * 1000)) }

    private func refusal(_ kind: Refusal.Kind, retryAfter: Duration? = nil) -> Refusal {
        Refusal(kind, Failure(.connectFailed, "no", isRetryable: true), retryAfter: retryAfter)
    }

    /// Takes a job and has its call refused.
    ///
    /// - Returns: whether it is charged.
    private mutating func refuse(
        _ job: JobKey, _ kind: Refusal.Kind, at seconds: Double, retryAfter: Duration? = nil
    ) -> Bool {
        _ = server.take(job, now: at(seconds))
        defer { server.end(job) }
        return server.refuse(job, with: refusal(kind, retryAfter: retryAfter), now: at(seconds), wall: wall).isCharged
    }

    private mutating func answer(_ job: JobKey, at seconds: Double) -> Availability.Transition? {
        _ = server.take(job, now: at(seconds))
        defer { server.end(job) }
        return server.answer(job, failure: nil, now: at(seconds), wall: wall)
    }

    // MARK: By calls alone

    @Test
    func withoutAnOpinionCallsAreTaken() {
        #expect(server.state(now: at(0)) == .up)
        #expect(server.gate(now: at(0)) == .open)
        #expect(server.nextLook(hasDue: true, now: at(0)) == nil)
    }

    @Test(arguments: [Refusal.Kind.unreachable, .reset])
    mutating func aServerThatTakesNoCallIsDownAndItsLineWaits(_ kind: Refusal.Kind) {
        #expect(refuse(a, kind, at: 0) == false)
        #expect(server.state(now: at(0)) == .down)
        #expect(server.gate(now: at(0.1)) == .closed)
        #expect(server.take(b, now: at(0.1)) == .held)
        #expect(server.summary(now: at(0)).trouble?.text == "no")
    }

    @Test
    mutating func oneJobProbesAtATimeWithGrowingPauses() {
        var moment = 0.0
        for pause in [0.25, 0.5, 1, 1.5, 1.5, 1.5] {
            #expect(refuse(a, .unreachable, at: moment) == false)
            #expect(server.nextLook(hasDue: true, now: at(0)) == at(moment + pause))
            #expect(server.nextLook(hasDue: false, now: at(0)) == nil, "nothing waits, nothing is tried")
            moment += pause
            #expect(server.gate(now: at(moment - 0.01)) == .closed)
            #expect(server.gate(now: at(moment)) == .probe)
        }
        #expect(server.take(a, now: at(moment)) == .probe)
        #expect(server.gate(now: at(moment + 9)) == .closed)
        #expect(server.take(b, now: at(moment + 9)) == .held)
        server.end(a)
        #expect(server.gate(now: at(moment + 9)) == .probe, "a probe that came to nothing makes place for another")
    }

    @Test
    mutating func theServersOwnPauseHoldsUpToTenSeconds() {
        _ = refuse(a, .loading, at: 0, retryAfter: .seconds(4))
        #expect(server.nextLook(hasDue: true, now: at(0)) == at(4))
        _ = refuse(a, .loading, at: 4, retryAfter: .seconds(3600))
        #expect(server.nextLook(hasDue: true, now: at(0)) == at(14))
        _ = refuse(a, .loading, at: 14, retryAfter: .zero)
        #expect(server.nextLook(hasDue: true, now: at(0)) == at(15))
    }

    @Test
    mutating func anAnswerOpensTheLineAndForgetsTheTrouble() {
        _ = refuse(a, .unreachable, at: 0)
        #expect(answer(a, at: 3) == .cameBack(after: .seconds(3)))
        #expect(server.gate(now: at(3)) == .open)
        #expect(server.summary(now: at(3)) == Availability.Summary(state: .up, since: wall, trouble: nil))
    }

    @Test
    mutating func aProbeThatIsWorkedOnOpensTheLine() {
        _ = refuse(a, .unreachable, at: 0)
        #expect(server.take(a, now: at(1)) == .probe)
        #expect(server.accept(b, now: at(2), wall: wall) == nil)
        #expect(server.accept(a, now: at(2), wall: wall) == .cameBack(after: .seconds(2)))
        #expect(server.take(b, now: at(2)) == .free)
    }

    @Test
    mutating func aCallThatBreaksSaysNothingOfTheServer() {
        _ = server.take(a, now: at(0))
        server.breakOff(a, failure: "it broke", now: at(0), wall: wall)
        #expect(server.state(now: at(0)) == .up)
        #expect(server.summary(now: at(0)).trouble?.text == "it broke")
    }

    @Test
    mutating func threeResetsInARowOfOneJobAreAFailedAttempt() {
        #expect(refuse(a, .reset, at: 0) == false)
        #expect(refuse(b, .reset, at: 1) == false)
        #expect(refuse(a, .reset, at: 2) == false)
        #expect(refuse(a, .unreachable, at: 4) == false, "a server that is gone meanwhile is not the job's doing")
        #expect(refuse(a, .reset, at: 6) == true)
        #expect(refuse(a, .reset, at: 8) == false, "counted anew")
    }

    @Test
    mutating func anAnswerBetweenResetsBeginsTheirCountAnew() {
        _ = refuse(a, .reset, at: 0)
        _ = refuse(a, .reset, at: 1)
        _ = answer(a, at: 3)
        #expect(refuse(a, .reset, at: 4) == false)
    }

    // MARK: Loading

    @Test
    mutating func aModelThatLoadsTooLongIsShownAsDown() {
        server.configure(.job, readyTimeout: .seconds(60))
        _ = refuse(a, .loading, at: 0)
        #expect(server.state(now: at(59)) == .loading)
        #expect(!server.probesInTurn(now: at(59)))
        _ = refuse(a, .loading, at: 59)
        #expect(server.state(now: at(60)) == .down)
        #expect(server.probesInTurn(now: at(60)))
    }

    @Test
    mutating func onlyAnswersOf503CountAsLoading() {
        server.configure(.job, readyTimeout: .seconds(60))
        _ = refuse(a, .loading, at: 0)
        _ = refuse(a, .unreachable, at: 50)
        _ = refuse(a, .loading, at: 55)
        #expect(server.state(now: at(70)) == .loading)
    }

    @Test
    mutating func aJobThatIsRefusedWhileOthersAreAnsweredIsCharged() {
        #expect(refuse(a, .loading, at: 0) == false)
        #expect(refuse(a, .loading, at: 5) == false)
        #expect(answer(b, at: 7) != nil)
        #expect(refuse(a, .loading, at: 8) == true)
        #expect(server.gate(now: at(8)) == .open, "its 503 is its own: the line goes on")
        #expect(refuse(a, .loading, at: 9) == true)
        _ = answer(a, at: 10)
        #expect(refuse(a, .loading, at: 11) == false, "answered once, it is as any other")
    }

    @Test
    mutating func anAnswerToACallThatBeganBeforeTheRefusalBlamesNobody() {
        _ = server.take(b, now: at(0))
        #expect(refuse(a, .loading, at: 1) == false)
        _ = server.answer(b, failure: nil, now: at(2), wall: wall)
        server.end(b)
        #expect(refuse(a, .loading, at: 3) == false)
    }

    // MARK: By a health path

    @Test
    mutating func nothingIsTakenBeforeTheHealthPathHasAnswered() {
        server.configure(.path("/health"), readyTimeout: .seconds(60))
        #expect(server.gate(now: at(0)) == .closed)
        #expect(server.state(now: at(0)) == .up)
        #expect(server.beginAsking(hasDue: false, now: at(0)) == true)
        #expect(server.beginAsking(hasDue: true, now: at(9)) == false, "one at a time")
        _ = server.health(.good, now: at(9), wall: wall)
        #expect(server.gate(now: at(9)) == .open)
        #expect(server.nextLook(hasDue: true, now: at(0)) == at(10))
    }

    @Test
    mutating func theHealthPathDecides() {
        server.configure(.path("/health"), readyTimeout: .seconds(60))
        _ = server.beginAsking(hasDue: false, now: at(0))
        #expect(server.health(.bad("400"), now: at(0), wall: wall) == .wentAway(.down, reason: "400"))
        #expect(server.gate(now: at(5)) == .closed)
        #expect(server.answer(a, failure: nil, now: at(5), wall: wall) == nil)
        #expect(server.state(now: at(5)) == .down)
        #expect(server.health(.loading("503"), now: at(5), wall: wall) == .wentAway(.loading, reason: "503"))
        #expect(server.health(.good, now: at(6), wall: wall) == .cameBack(after: .seconds(6)))
        #expect(server.gate(now: at(6)) == .open)
    }

    @Test
    mutating func theHealthPathIsAskedSoonWhileJobsWaitAndSeldomOtherwise() {
        server.configure(.path("/health"), readyTimeout: .seconds(60))
        for _ in 0..<9 { _ = server.health(.bad("no"), now: at(0), wall: wall) }
        #expect(server.nextLook(hasDue: true, now: at(0)) == at(1.5))
        #expect(server.nextLook(hasDue: false, now: at(0)) == at(10))
    }

    @Test
    mutating func afterARefusedCallOneJobProbesEvenIfTheHealthPathIsGood() {
        server.configure(.path("/health"), readyTimeout: .seconds(60))
        _ = server.health(.good, now: at(0), wall: wall)
        #expect(refuse(a, .loading, at: 1) == false)
        #expect(server.gate(now: at(9)) == .closed)
        #expect(server.health(.good, now: at(9), wall: wall) == nil)
        #expect(server.take(a, now: at(9)) == .probe)
        #expect(server.take(b, now: at(9)) == .held)
        #expect(server.answer(a, failure: nil, now: at(9), wall: wall) == .cameBack(after: .seconds(8)))
        #expect(server.gate(now: at(9)) == .open)
    }

    @Test
    mutating func anErrorOfAServerThatIsNotReadyIsChargedTheThirdTime() {
        server.configure(.path("/health"), readyTimeout: .seconds(60))
        _ = server.health(.good, now: at(0), wall: wall)
        #expect(server.wantHealth() == true)
        #expect(server.nextLook(hasDue: false, now: at(1)) == at(1))
        _ = server.health(.bad("400"), now: at(1), wall: wall)
        #expect(refuse(a, .notReady, at: 1) == false)
        #expect(server.summary(now: at(1)).trouble?.text == "400")
        #expect(refuse(a, .notReady, at: 2) == false)
        #expect(refuse(a, .notReady, at: 3) == true)
    }

    // MARK: By connections

    @Test
    mutating func withoutALineOfItsOwnAConnectionIsTriedThenAJob() {
        server.configure(.connection, readyTimeout: .seconds(60))
        #expect(server.gate(now: at(0)) == .open)
        #expect(server.nextLook(hasDue: true, now: at(0)) == nil, "nothing is tried while all is well")
        _ = refuse(a, .unreachable, at: 0)
        #expect(server.nextLook(hasDue: true, now: at(0)) == at(0.25))
        #expect(server.gate(now: at(9)) == .closed)
        #expect(server.beginAsking(hasDue: true, now: at(1)) == true)
        _ = server.health(.bad("refused"), now: at(1), wall: wall)
        #expect(server.gate(now: at(9)) == .closed)
        _ = server.health(.good, now: at(9), wall: wall)
        #expect(server.take(a, now: at(9)) == .probe)
        #expect(server.take(b, now: at(9)) == .held)
        #expect(server.accept(a, now: at(10), wall: wall) == .cameBack(after: .seconds(10)))
        #expect(server.gate(now: at(10)) == .open)
    }

    @Test
    mutating func aHealthPathThatIsTakenAwayDecidesNoMore() {
        server.configure(.path("/health"), readyTimeout: .seconds(60))
        _ = server.health(.bad("no"), now: at(0), wall: wall)
        server.configure(.job, readyTimeout: .seconds(60))
        #expect(server.gate(now: at(0)) == .open)
    }
}
