import Testing

@testable import InferqCore
@testable import InferqQueue

/// The window against the whole list of due jobs, over random steps.
struct LineTests {
    @Test(arguments: 0..<20)
    func theWindowsBestIsTheBestOfAll(_ seed: UInt64) {
        var random = JSONSample.SplitMix64(seed: seed)
        var all: Set<Candidate> = []
        var line = Line()
        line.concurrency = 1
        var number: Int64 = 0

        func arrive() {
            number += 1
            let new = candidate(number, priority: .random(in: -2...2, using: &random))
            all.insert(new)
            line.insert(new)
        }

        for _ in 0..<600 { arrive() }
        for _ in 0..<2000 {
            if line.mustRead {
                line.isReading = true
                let read = Array(all.sorted().prefix(Scheduler.windowLimit))
                for _ in 0..<Int.random(in: 0...5, using: &random) { arrive() }
                line.fill(read, isAll: read.count < Scheduler.windowLimit)
            } else if Int.random(in: 0..<5, using: &random) < 2 {
                arrive()
            } else {
                let best = line.best(skippingSuspects: false, now: .now)
                #expect(best == all.min())
                guard let best else { continue }
                line.remove(best)
                all.remove(best)
            }
        }
    }

    @Test
    func aReadThatFailedIsRepeated() {
        var line = Line()
        line.concurrency = 1
        line.isReading = true
        line.fill(nil, isAll: true)
        #expect(line.mustRead)
    }

    @Test
    func moreArrivalsThanAreKeptWhileReadingAreReadAgain() {
        var line = Line()
        line.concurrency = 1
        line.isReading = true
        for number in 0...Int64(4 * Scheduler.windowLimit) { line.insert(candidate(number)) }
        line.fill([], isAll: true)
        #expect(line.mustRead)
    }

    @Test
    func whatIsOfferedIsNotOfferedAgain() {
        var line = Line()
        line.concurrency = 1
        line.offered = [JobKey(value: 1)]
        line.fill([candidate(1), candidate(2)], isAll: true)
        line.insert(candidate(1))
        #expect(line.best(skippingSuspects: false, now: .now) == candidate(2))
    }
}
