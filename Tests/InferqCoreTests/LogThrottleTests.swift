import Testing

@testable import InferqCore

struct LogThrottleTests {
    private let start = ContinuousClock.now

    @Test
    func aFewOfAKindAreWrittenInOnePeriod() {
        let throttle = LogThrottle(limit: 2, period: .seconds(60))
        let answers = (0..<4).map { throttle.admit("a", now: start + .seconds($0)) }
        #expect(answers == [0, 0, nil, nil])
    }

    @Test
    func theFirstOfALaterPeriodSaysHowManyWereLeftOut() {
        let throttle = LogThrottle(limit: 1, period: .seconds(60))
        _ = (0..<6).map { throttle.admit("a", now: start + .seconds($0)) }
        #expect(throttle.admit("a", now: start + .seconds(60)) == 5)
        #expect(throttle.admit("a", now: start + .seconds(121)) == 0)
    }

    @Test
    func oneKindDoesNotSilenceAnother() {
        let throttle = LogThrottle(limit: 1, period: .seconds(60))
        #expect(throttle.admit("a", now: start) == 0)
        #expect(throttle.admit("a", now: start) == nil)
        #expect(throttle.admit("b", now: start) == 0)
    }
}
