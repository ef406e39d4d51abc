import TestSupport
import Testing

@testable import InferqCore
@testable import InferqQueue
@testable import InferqStore

/// The windows against the whole list of due jobs, over random steps.
struct ModelQueueTests {
    private static let limited = ["x", "y"]

    /// What a store would tell.
    private func read(_ all: Set<Candidate>, _ owners: DueOwners, _ limit: Int) -> [Candidate] {
        let found = all.filter { candidate in
            switch owners {
            case .everyone(let others): !others.contains(candidate.client ?? "")
            case .client(let client): candidate.client == client
            }
        }
        return Array(found.sorted().prefix(limit))
    }

    @Test(arguments: 0..<20, [[], limited])
    func theBestOfTheWindowsIsTheBestOfAll(_ seed: UInt64, _ lanes: [String]) {
        var random = SplitMix64(seed: seed)
        var all: Set<Candidate> = []
        let queue = ModelQueue(lanes: lanes)
        queue.concurrency = 1
        var number: Int64 = 0
        var passed: Set<String> = []

        func arrive() {
            number += 1
            let client = ["x", "y", "z", nil].randomElement(using: &random) ?? nil
            let new = candidate(number, priority: .random(in: -2...2, using: &random), client: client)
            all.insert(new)
            queue.insert(new)
        }

        for _ in 0..<900 { arrive() }
        for _ in 0..<2000 {
            passed = Set(lanes.filter { _ in Bool.random(using: &random) })
            if queue.mustRead {
                for (owners, limit) in queue.beginReading() {
                    let read = read(all, owners, limit)
                    for _ in 0..<Int.random(in: 0...5, using: &random) { arrive() }
                    queue.fill(owners, read, isAll: read.count < limit)
                }
            } else if Int.random(in: 0..<5, using: &random) < 2 {
                arrive()
            } else {
                let best = queue.best(skippingSuspects: false, now: .now) { passed.contains($0) }
                #expect(best == all.filter { !passed.contains($0.client ?? "") }.min())
                guard let best else { continue }
                queue.remove(best)
                all.remove(best)
            }
        }
    }

    private func reading(_ queue: ModelQueue) -> DueOwners? { queue.beginReading().first?.owners }

    @Test
    func aReadThatFailedIsRepeated() throws {
        let queue = ModelQueue()
        queue.concurrency = 1
        let owners = try #require(reading(queue))
        #expect(!queue.mustRead)
        queue.fill(owners, nil, isAll: true)
        #expect(queue.mustRead)
    }

    @Test
    func moreArrivalsThanAreKeptWhileReadingAreReadAgain() throws {
        let queue = ModelQueue()
        queue.concurrency = 1
        let owners = try #require(reading(queue))
        for number in 0...Int64(4 * ModelQueue.windowLimit) { queue.insert(candidate(number)) }
        queue.fill(owners, [], isAll: true)
        #expect(queue.mustRead)
    }

    @Test
    func whatIsOfferedIsNotOfferedAgain() throws {
        let queue = ModelQueue()
        queue.concurrency = 1
        queue.offered = [JobKey(value: 1)]
        queue.fill(try #require(reading(queue)), [candidate(1), candidate(2)], isAll: true)
        queue.insert(candidate(1))
        #expect(queue.best(skippingSuspects: false, now: .now) == candidate(2))
    }

    @Test(arguments: [nil, "x"])
    func whatIsTakenWhileTheStoreIsReadIsNotOfferedAgain(_ client: String?) throws {
        let queue = ModelQueue(lanes: ["x"])
        queue.concurrency = 1
        queue.offered = [JobKey(value: 1)]
        let owners = queue.beginReading().map(\.owners)
        #expect(queue.take(JobKey(value: 1)))
        // It was still due when the store was asked.
        let read = [candidate(1, client: client), candidate(2, client: client)]
        for owner in owners {
            if case .client = owner { queue.fill(owner, client == nil ? [] : read, isAll: true) }
            if case .everyone = owner { queue.fill(owner, client == nil ? read : [], isAll: true) }
        }
        #expect(queue.best(skippingSuspects: false, now: .now)?.key == JobKey(value: 2))
    }

    @Test
    func aClientsFirstJobThatComesDuringAReadIsInItsLaneAlone() throws {
        let queue = ModelQueue(lanes: ["x"])
        queue.concurrency = 1
        let owners = queue.beginReading().map(\.owners)
        #expect(owners == [.everyone(but: ["x"]), .client("x")])
        // The store did not know the client yet when it was asked to leave it out.
        for owner in owners { queue.fill(owner, [candidate(1, client: "x")], isAll: true) }
        queue.remove(candidate(1, client: "x"))
        #expect(queue.best(skippingSuspects: false, now: .now) == nil)
    }
}
