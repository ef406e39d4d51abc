import TestSupport
import Testing

@testable import InferqCore

@Suite(.timeLimit(.minutes(10)))
struct TimerWheelTests {
    private let wheel = TimerWheel(tick: .milliseconds(5))

    private func withRunning(_ body: @Sendable () async -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { [wheel] in try await wheel.run() }
            await body()
            group.cancelAll()
            try await group.waitForAll()
        }
    }

    @Test
    func aDeadlineRingsItsBellAndNotEarly() async throws {
        try await withRunning {
            let bell = Bell()
            let start = ContinuousClock.now
            _ = wheel.ring(bell, after: .milliseconds(30))
            #expect(await bell.wait() == .deadline)
            #expect(ContinuousClock.now - start >= .milliseconds(30))
        }
    }

    @Test
    func aDeadlineOfThePastRingsAtOnce() async throws {
        try await withRunning {
            let bell = Bell()
            _ = wheel.ring(bell, after: .seconds(-5))
            #expect(await bell.wait() == .deadline)
        }
    }

    @Test
    func deadlinesComeInTheirOrderWhicheverWasSetFirst() async throws {
        let bell = Bell()
        let order = Recording<Int>()
        for number in [3, 1, 2] {
            // All of them have passed when the wheel begins to turn, whatever else the machine does.
            _ = wheel.call(after: .seconds(number - 10)) {
                order.add(number)
                if number == 3 { bell.ring(.event) }
            }
        }
        try await withRunning {
            _ = await bell.wait()
            #expect(order.entries == [1, 2, 3])
        }
    }

    @Test
    func anEarlierDeadlineIsNotHeldUpByALaterOne() async throws {
        try await withRunning {
            let late = Bell()
            let early = Bell()
            _ = wheel.ring(late, after: .seconds(3600))
            _ = wheel.ring(early, after: .milliseconds(10))
            #expect(await early.wait() == .deadline)
        }
    }

    @Test
    func aDeadlineThatWasTakenBackDoesNotRing() async throws {
        try await withRunning {
            let bell = Bell()
            let next = Bell()
            let deadline = wheel.ring(bell, after: .milliseconds(10))
            wheel.cancel(deadline)
            _ = wheel.ring(next, after: .milliseconds(20))
            _ = await next.wait()
            bell.ring(.event)
            #expect(await bell.wait() == .event)
        }
    }

    @Test
    func takingBackOneLeavesTheOthersOfItsTick() async throws {
        try await withRunning {
            let bell = Bell()
            let deadline = wheel.ring(Bell(), after: .milliseconds(20), tolerance: .seconds(1))
            _ = wheel.ring(bell, after: .milliseconds(20), tolerance: .seconds(1))
            wheel.cancel(deadline)
            #expect(await bell.wait() == .deadline)
        }
    }

    @Test
    func deadlinesThatWereTakenBackLeaveNoMemoryBehindAndOthersInTheirOrder() async throws {
        let order = Recording<Int>()
        let bell = Bell()
        for number in 0..<5000 {
            let mayStay = number % 1000 == 0
            // One that stays, among those of an hour that are over within a moment.
            if mayStay { _ = wheel.call(after: .milliseconds(-number)) { order.add(number) } }
            for _ in 0..<2 { wheel.cancel(wheel.call(after: .seconds(3600) + .milliseconds(5 * number)) {}) }
        }
        #expect(wheel.heldTicks < 100)
        _ = wheel.ring(bell, after: .milliseconds(1))
        try await withRunning {
            _ = await bell.wait()
            #expect(order.entries == [4000, 3000, 2000, 1000, 0])
        }
        #expect(wheel.heldTicks < 100)
    }

    @Test
    func aTickThatWasEmptiedCanBeUsedAgain() async throws {
        let bell = Bell()
        for _ in 0..<3 { wheel.cancel(wheel.ring(bell, after: .milliseconds(50), tolerance: .seconds(1))) }
        _ = wheel.ring(bell, after: .milliseconds(50), tolerance: .seconds(1))
        try await withRunning { #expect(await bell.wait() == .deadline) }
    }

    @Test
    func aWaitEndsWithItsDeadlineOrWithTheFirstRing() async throws {
        try await withRunning {
            #expect(await wheel.wait(at: Bell(), atMost: .milliseconds(5)) == .deadline)
            let rung = Bell()
            rung.ring(.event)
            #expect(await wheel.wait(at: rung, atMost: .seconds(3600)) == .event)
            rung.ring(.output)
            #expect(await wheel.wait(at: rung, atMost: nil) == .output)
            #expect(wheel.heldTicks <= 1)
        }
    }

    @Test
    func aSleepEndsWithItsTimeOrItsTask() async throws {
        try await withRunning {
            let start = ContinuousClock.now
            await wheel.sleep(for: .milliseconds(10))
            #expect(ContinuousClock.now - start >= .milliseconds(10))
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await wheel.sleep(for: .seconds(3600)) }
                group.cancelAll()
            }
        }
    }

    @Test
    func aPauseOutlastsACancellation() async throws {
        try await withRunning {
            let start = ContinuousClock.now
            await withTaskGroup(of: Void.self) { group in
                group.cancelAll()
                group.addTask { await wheel.pause(for: .milliseconds(20)) }
            }
            #expect(ContinuousClock.now - start >= .milliseconds(20))
        }
    }

    @Test
    func aDeadlineThatWasSetBeforeTheStartRings() async throws {
        let bell = Bell()
        _ = wheel.ring(bell, after: .zero)
        try await withRunning { #expect(await bell.wait() == .deadline) }
    }
}
