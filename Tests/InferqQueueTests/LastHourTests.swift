import InferqCore
import TestSupport
import Testing

@testable import InferqQueue

struct LastHourTests {
    /// Later than the process began to count, and in the middle of a minute of its own.
    private let start = ContinuousClock.now + .seconds(3 * 3600)

    private func minute(_ number: Int) -> ContinuousClock.Instant { start + .seconds(60 * number) }

    @Test func nothingIsSixtyEmptyMinutes() {
        #expect(LastHour().minutes(at: start) == Array(repeating: LastHour.Minute(), count: 60))
    }

    @Test func endsAreCountedInTheirMinuteAndPendingAsItsMost() {
        var hour = LastHour()
        hour.note(pending: 3, ended: nil, at: start)
        hour.note(pending: 2, ended: .completed, at: start)
        hour.note(pending: 1, ended: .failed, at: start)
        hour.note(pending: 0, ended: .completed, at: minute(1))
        let minutes = hour.minutes(at: minute(1))
        #expect(minutes.count == 60)
        #expect(minutes[58] == LastHour.Minute(pending: 3, completed: 1, failed: 1))
        // What was pending when the minute began.
        #expect(minutes[59] == LastHour.Minute(pending: 1, completed: 1, failed: 0))
        #expect(minutes[..<58].allSatisfy { $0 == LastHour.Minute() })
    }

    @Test func whatWaitsThroughQuietMinutesIsPendingInEachOfThem() {
        var hour = LastHour()
        hour.note(pending: 5, ended: nil, at: start)
        let minutes = hour.minutes(at: minute(10))
        #expect(minutes.suffix(11).allSatisfy { $0.pending == 5 })
        #expect(minutes[48].pending == 0)
        hour.note(pending: 4, ended: .completed, at: minute(10))
        #expect(hour.minutes(at: minute(10)).suffix(11).map(\.pending) == Array(repeating: 5, count: 11))
        #expect(hour.minutes(at: minute(11)).last == LastHour.Minute(pending: 4))
    }

    @Test(arguments: [60, 61, 3600, 1_000_000])
    func whatIsOlderThanAnHourIsGone(later: Int) {
        var hour = LastHour()
        hour.note(pending: 1, ended: .completed, at: start)
        hour.note(pending: 0, ended: .completed, at: minute(later))
        let minutes = hour.minutes(at: minute(later))
        #expect(minutes.reduce(0) { $0 + $1.completed } == 1)
        #expect(minutes.last?.completed == 1)
    }

    @Test func aMomentBeforeTheNewestCountsInTheNewest() {
        var hour = LastHour()
        hour.note(pending: 0, ended: .completed, at: minute(2))
        hour.note(pending: 0, ended: .completed, at: minute(1))
        #expect(hour.minutes(at: minute(2)).last?.completed == 2)
        #expect(hour.minutes(at: minute(1)).last?.completed == 2)
    }
}
