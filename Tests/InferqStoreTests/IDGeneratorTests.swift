import TestSupport
import Testing

@testable import InferqCore
@testable import InferqStore

/// Identifiers whose clock is set, and how their jobs are found by the time of their submission.
struct IDGeneratorTests {
    private static let day: Int64 = 86_400_000

    /// Identifiers as their jobs were submitted, with a wall clock that is set at random now and then.
    private func walk(_ seed: UInt64, _ ids: IDGenerator, count: Int = 400) -> [(key: JobKey, createdAt: Timestamp)] {
        var random = SplitMix64(seed: seed)
        var (elapsed, offset) = (Job.submitted.milliseconds, Int64(0))
        return (0..<count).map { _ in
            elapsed += .random(in: 0...5000, using: &random)
            switch Int.random(in: 0..<40, using: &random) {
            case 0: offset = .random(in: -10 * Self.day...10 * Self.day, using: &random)
            case 1: offset = .random(in: -20_000 * Self.day...40_000 * Self.day, using: &random)
            case 2: offset += .random(in: -1500...1500, using: &random)
            case 3: offset = 0
            default: break
            }
            let wall = Timestamp(milliseconds: elapsed + offset)
            let moment = Moment(
                wall: wall, elapsed: Elapsed(milliseconds: elapsed), certain: Elapsed(milliseconds: elapsed)
            )
            return (ids.next { moment }.id.key, wall)
        }
    }

    @Test(arguments: 0..<20)
    func keysGrowWhateverTheClockDoes(_ seed: UInt64) {
        let keys = walk(seed, IDGenerator(after: nil, tag: 7)).map(\.key)
        #expect(keys == keys.sorted())
        #expect(Set(keys).count == keys.count)
    }

    @Test(arguments: 0..<20)
    func everyJobLiesInTheRunsOfItsTimeAndNoneFarFromIt(_ seed: UInt64) {
        let ids = IDGenerator(after: nil, tag: 7)
        let made = walk(seed, ids)
        var random = SplitMix64(seed: seed)
        for _ in 0..<50 {
            let (one, other) = (made.randomElement(using: &random), made.randomElement(using: &random))
            guard let one, let other else { return }
            let lower = min(one.createdAt, other.createdAt) - .milliseconds(1)
            let upper = max(one.createdAt, other.createdAt) + .milliseconds(1)
            let runs = ids.keys(after: lower, before: upper)
            let bounds = runs.map { ($0.lowerBound, $0.upperBound) }
            for (run, older) in zip(bounds, bounds.dropFirst()) { #expect(older.1 <= run.0) }
            for job in made {
                let isFound = runs.contains { $0.contains(job.key) }
                if job.createdAt > lower, job.createdAt < upper {
                    #expect(isFound)
                } else if isFound {
                    let slack = Duration.milliseconds(IDLead.slack)
                    #expect(job.createdAt > lower - slack && job.createdAt < upper + slack)
                }
            }
        }
    }

    @Test
    func leadsAreFewAndGoWithTheClockSetRight() {
        let ids = IDGenerator(after: nil, tag: 7)
        func next(_ wall: Int64, _ elapsed: Int64) -> ArraySlice<IDLead> {
            let start = Job.submitted.milliseconds
            let moment = Moment(
                wall: Timestamp(milliseconds: start + wall), elapsed: Elapsed(milliseconds: elapsed),
                certain: Elapsed(milliseconds: elapsed)
            )
            return ids.next { moment }.leads
        }
        #expect(next(0, 0).isEmpty)
        #expect(next(Self.day, 1).isEmpty)
        // Set back: one lead, however many jobs and however long, until it is stored.
        #expect(next(5, 5).map(\.milliseconds) == [Self.day - 5 - IDLead.slack / 2])
        let leads = next(60_005, 60_005)
        #expect(leads.count == 1)
        ids.stored(leads)
        #expect(next(3_600_000, 3_600_000).isEmpty)
        // Caught up with.
        #expect(next(Self.day * 2, Self.day * 2).map(\.milliseconds) == [0])
    }

    @Test
    func aSmallStepBackIsNoLead() {
        let ids = IDGenerator(after: nil, tag: 7)
        let first = ids.next { .at(Job.submitted) }
        let second = ids.next { .at(Job.submitted - .milliseconds(900)) }
        #expect(first.leads.isEmpty && second.leads.isEmpty)
        #expect(second.id.key > first.id.key)
    }
}
