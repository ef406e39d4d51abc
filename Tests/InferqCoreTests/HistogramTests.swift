import Testing

@testable import InferqCore

struct HistogramTests {
    @Test
    func aBoundIncludesItself() {
        let histogram = Histogram(bounds: [10, 20], unitsPerOne: 1)
        for value in [0, 10, 11, 20, 21] { histogram.observe(value) }
        #expect(histogram.reading == Histogram.Reading(counts: [2, 4, 5], sum: 62))
    }

    @Test
    func aClockThatWasSetBackCountsAsNoTime() {
        let histogram = Histogram.ofJobs()
        histogram.observe(-5000)
        #expect(histogram.reading.counts.first == 1)
        #expect(histogram.reading.sum == 0)
    }

    @Test
    func whatManyThreadsObserveIsAllThere() async {
        let histogram = Histogram(bounds: [500], unitsPerOne: 1)
        await withDiscardingTaskGroup { group in
            for _ in 0..<4 {
                group.addTask {
                    for value in 1...1000 { histogram.observe(value) }
                }
            }
        }
        #expect(histogram.reading == Histogram.Reading(counts: [2000, 4000], sum: 2_002_000))
    }

    @Test
    func microsecondsOfADurationAreRoundedDown() {
        #expect(Duration.nanoseconds(1_234_567_999).microseconds == 1_234_567)
        #expect(Duration.zero.microseconds == 0)
    }
}
