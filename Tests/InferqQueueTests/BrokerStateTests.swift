import TestSupport
import Testing

@testable import InferqCore
@testable import InferqQueue
@testable import InferqStore

/// What carries jobs, as operators and clients see it.
struct BrokerStateTests {
    private static let since = Timestamp(milliseconds: 1_800_000_000_000)

    private static let states: [(BrokerState, BrokerState.Kind, String)] = [
        (.ring, .ring, "ring"),
        (.redis, .redis, "redis"),
        (
            .redisAway(since: since, reason: nil, ringTakesOver: true), .ring,
            "ring (redis unreachable since \(since.rfc3339))"
        ),
        (
            .redisAway(since: since, reason: "it does not answer", ringTakesOver: false), .redis,
            "redis (unreachable since \(since.rfc3339): it does not answer)"
        ),
    ]

    @Test(arguments: states)
    func aStateNamesWhatCarriesJobs(_ state: BrokerState, _ kind: BrokerState.Kind, _ text: String) {
        #expect(state.kind == kind)
        #expect(state.text == text)
    }
}
