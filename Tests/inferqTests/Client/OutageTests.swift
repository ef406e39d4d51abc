import Testing

@testable import inferq

struct OutageTests {
    private let start = ContinuousClock.now

    private func pauses(_ count: Int, after retry: Duration?) -> [Duration?] {
        var outage = Outage()
        return (0..<count).map { _ in outage.nextPause(after: retry, now: start) }
    }

    @Test
    func pausesGrowFromWhatTheServerAskedForUpToFiveSeconds() {
        #expect(pauses(4, after: .milliseconds(1500)) == [.milliseconds(1500), .seconds(3), .seconds(5), .seconds(5)])
        #expect(pauses(3, after: nil) == [.seconds(2), .seconds(4), .seconds(5)])
        #expect(pauses(2, after: .seconds(3600)) == [.seconds(5), .seconds(5)])
        #expect(pauses(2, after: .zero) == [.milliseconds(1), .milliseconds(2)])
    }

    @Test
    func anAnswerStartsAnew() {
        var outage = Outage()
        for _ in 0..<5 { _ = outage.nextPause(after: nil, now: start) }
        outage.end()
        #expect(outage.nextPause(after: nil, now: start + Outage.patience) == .seconds(2))
        #expect(outage.failures == 1)
    }

    @Test
    func retryAfterIsObeyedUpToAMinute() {
        var outage = Outage()
        #expect(outage.nextPause(after: nil, retryAfter: .seconds(30), now: start) == .seconds(30))
        #expect(outage.nextPause(after: nil, retryAfter: .seconds(3600), now: start) == .seconds(60))
        #expect(outage.nextPause(after: nil, retryAfter: .seconds(1), now: start) == .seconds(5))
    }

    @Test
    func patienceEnds() {
        var outage = Outage()
        #expect(outage.nextPause(after: nil, now: start) != nil)
        #expect(outage.nextPause(after: nil, now: start + Outage.patience - .seconds(1)) != nil)
        #expect(outage.nextPause(after: nil, now: start + Outage.patience) == nil)
    }
}
