import Testing

@testable import InferqCore
@testable import InferqQueue
@testable import InferqStore

/// Clients whose running jobs are limited: no one gets more than he may, no one else waits for it, and nothing is left behind.
@Suite(.timeLimit(.minutes(10)))
struct SchedulerClientTests {
    @Test
    func aClientGetsNoMoreThanItMayAndOthersPassBy() async throws {
        let due = [
            candidate(1, client: "x"), candidate(2, client: "x"), candidate(3, client: "y"),
            candidate(4, client: "x"), candidate(5),
        ]
        try await withBed(["a": due], concurrency: ["a": 4], limits: ["x": 1]) { bed in
            #expect(await bed.offers(3) == [1, 3, 5])
            for number: Int64 in [1, 3, 5] { bed.take(number) }
            bed.end(3)
            #expect(await bed.offers(0) == [1, 3, 5])
            bed.end(1)
            // At once: nothing need be read.
            #expect(await bed.offers(0) == [1, 3, 5, 2])
            bed.take(2)
            bed.end(2)
            #expect(await bed.offers(0) == [1, 3, 5, 2, 4])
        }
    }

    @Test
    func aFullClientsJobsDoNotFillTheWindow() async throws {
        let total: Int64 = 3000
        let due = (1...total).map { candidate($0, client: "x") } + [candidate(total + 1, client: "y")]
        try await withBed(["a": due], concurrency: ["a": 2], limits: ["x": 1]) { bed in
            #expect(await bed.offers(2) == [1, total + 1])
            bed.take(1)
            bed.take(total + 1)
            bed.end(total + 1)
            bed.add(candidate(total + 2))
            #expect(await bed.offers(3) == [1, total + 1, total + 2])
            // All of the others' follow one by one.
            for number in 1..<total {
                bed.end(number)
                await bed.ledger.waitForOffers(Int(number) + 3)
                bed.take(number + 1)
            }
            #expect(bed.ledger.offers.map(\.job.value).filter { $0 <= total } == Array(1...total))
        }
    }

    @Test
    func aLimitHoldsOverAllModelsAndNoModelStarves() async throws {
        // Others' jobs come last, and tell that all of a model's are known.
        let due = [
            "a": [1, 3, 5].map { candidate($0, client: "x") } + [candidate(101)],
            "b": [2, 4, 6].map { candidate($0, client: "x") } + [candidate(102)],
        ]
        try await withBed(due, concurrency: ["a": 2, "b": 2], limits: ["x": 1]) { bed in
            await bed.ledger.waitForOffers(3)
            func offered() -> [Offer] { bed.ledger.offers.filter { $0.job.value < 100 } }
            for number in 1...6 {
                #expect(offered().count == number)
                guard let offer = offered().last else { return }
                bed.take(offer.job.value, of: offer.model)
                bed.end(offer.job.value, of: offer.model)
            }
            // From the second one on the oldest comes first, whichever model it is of.
            let rest = Array(offered().map(\.job.value).dropFirst())
            #expect(rest == rest.sorted() && Set(offered().map(\.job.value)) == Set(1...6))
        }
    }

    @Test
    func aJobOfALimitedClientIsNotOfferedAhead() async throws {
        let due = ["a": [candidate(1), candidate(2, client: "x")], "b": [candidate(4, client: "x")]]
        try await withBed(due, concurrency: ["a": 1, "b": 1], limits: ["x": 1]) { bed in
            // The slot of "a" is asked for: its next job would wait there, and keep the client from the free slot of "b".
            #expect(Set(await bed.offers(2)) == [1, 4])
            bed.take(1)
            bed.take(4, of: "b")
            bed.end(4, of: "b")
            #expect(await bed.offers(0).count == 2)
            bed.end(1)
            #expect(await bed.offers(0).dropFirst(2) == [2])
        }
    }

    @Test
    func aLimitMayChangeWhileJobsRun() async throws {
        try await withBed(["a": (1...9).map { candidate($0, client: "x") }], concurrency: ["a": 4]) { bed in
            #expect(await bed.offers(5).count == 5)
            for number: Int64 in 1...4 { bed.take(number) }
            bed.scheduler.setRunningLimits(["x": 2])
            for number: Int64 in 1...2 { bed.end(number) }
            #expect(await bed.offers(0).count == 5)
            bed.take(5)
            bed.end(3)
            bed.end(4)
            #expect(await bed.offers(6) == Array(1...6))
            bed.scheduler.setRunningLimits(["x": 3])
            #expect(await bed.offers(7) == Array(1...7))
            bed.scheduler.setRunningLimits([:])
            #expect(await bed.offers(9) == Array(1...9))
        }
    }

    @Test
    func whatIsTakenBackLeavesItsPlaceToAnotherModel() async throws {
        let due = ["a": [candidate(1, client: "x")], "b": [candidate(2, client: "x")]]
        try await withBed(due, concurrency: ["a": 1, "b": 1], limits: ["x": 1]) { bed in
            await bed.ledger.waitForOffers(1)
            let first = bed.ledger.offers[0]
            bed.shelf.remove(first)
            bed.scheduler.withdrawn(first)
            await bed.ledger.waitForOffers(2)
            #expect(Set(bed.ledger.offers.map(\.job.value)) == [1, 2])
        }
    }
}
