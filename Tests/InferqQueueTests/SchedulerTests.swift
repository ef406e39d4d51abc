import TestSupport
import Testing

@testable import InferqCore
@testable import InferqQueue
@testable import InferqStore

@Suite(.timeLimit(.minutes(10)))
struct SchedulerTests {
    @Test
    func jobsAreOfferedByPriorityThenAge() async throws {
        let due = [candidate(1), candidate(2, priority: 5), candidate(3, priority: -5), candidate(4, priority: 5)]
        try await withBed(["a": due], concurrency: ["a": 3]) { bed in
            #expect(await bed.offers(4) == [2, 4, 1, 3])
        }
    }

    @Test(arguments: [1, 2, 8])
    func noMoreAreOfferedThanThereAreFreeSlotsPlusOne(_ slots: Int) async throws {
        try await withBed(["a": (1...50).map { candidate($0) }], concurrency: ["a": slots]) { bed in
            #expect(await bed.offers(slots + 1).count == slots + 1)
            for number in 1...slots { bed.take(Int64(number)) }
            #expect(await bed.offers(0).count == slots + 1)
            bed.end(1)
            #expect(await bed.offers(0).count == slots + 2)
        }
    }

    @Test
    func slotsOnOtherHostsAreFilledLikeOnesOwn() async throws {
        let place = AttemptPlace.remote(worker: "w", lease: Job.Lease(number: 1))
        try await withBed(["a": (1...20).map { candidate($0) }], concurrency: ["a": 1]) { bed in
            _ = await bed.offers(2)
            bed.scheduler.setRemoteSlots(["a": 2])
            #expect(await bed.offers(4) == [1, 2, 3, 4])
            for number in 1...2 { bed.take(Int64(number), at: place) }
            bed.take(3)
            #expect(await bed.offers(0).count == 4)
            bed.end(1, at: place)
            #expect(await bed.offers(5) == [1, 2, 3, 4, 5])
            #expect(bed.scheduler.running("a") == 1)
        }
    }

    @Test
    func aTakeIsFollowedByTheOfferThatFoundNoRoom() async throws {
        try await withBed(["a": (1...5).map { candidate($0) }], concurrency: ["a": 2]) { bed in
            bed.ledger.admit(1)
            #expect(await bed.offers(1) == [1])
            bed.ledger.admit(2)
            bed.take(1)
            #expect(await bed.offers(2) == [1, 2])
        }
    }

    @Test
    func whatABrokerLosesIsOfferedAgain() async throws {
        try await withBed(["a": (1...5).map { candidate($0) }], concurrency: ["a": 1]) { bed in
            #expect(await bed.offers(2) == [1, 2])
            bed.scheduler.lost(.offers([Offer(model: "a", job: JobKey(value: 1))]))
            #expect(await bed.offers(3) == [1, 2, 1])
            let gone = Offer(model: "a", job: JobKey(value: 2))
            bed.shelf.remove(gone)
            bed.scheduler.lost(.unwanted(gone))
            #expect(await bed.offers(4) == [1, 2, 1, 3])
            bed.scheduler.lost(.all)
            #expect(await bed.offers(6) == [1, 2, 1, 3, 1, 3])
        }
    }

    @Test
    func aHigherPriorityThatComesLaterPasses() async throws {
        try await withBed(["a": (1...9).map { candidate($0) }], concurrency: ["a": 1]) { bed in
            _ = await bed.offers(2)
            bed.add(candidate(10, priority: 1))
            bed.take(1)
            bed.end(1)
            bed.take(2)
            bed.end(2)
            #expect(await bed.offers(4) == [1, 2, 10, 3])
        }
    }

    @Test
    func aDeepQueueIsOfferedInItsOrderAndEachJobOnce() async throws {
        let total: Int64 = 2000
        try await withBed(["a": (1...total).reversed().map { candidate($0) }], concurrency: ["a": 4]) { bed in
            for number in 1...total {
                await bed.ledger.waitForOffers(Int(number))
                bed.take(number)
                bed.end(number)
            }
            #expect(await bed.offers(Int(total)) == Array(1...total))
        }
    }

    @Test
    func aJobThatComesWhileTheQueueIsDeepIsNotForgotten() async throws {
        let total: Int64 = 600
        try await withBed(["a": (1...total).map { candidate($0) }], concurrency: ["a": 1]) { bed in
            _ = await bed.offers(2)
            bed.add(candidate(total + 1))
            for number in 1...(total + 1) {
                await bed.ledger.waitForOffers(Int(number))
                bed.take(number)
                bed.end(number)
            }
            #expect(await bed.offers(Int(total + 1)) == Array(1...(total + 1)))
        }
    }

    @Test
    func modelsDoNotWaitForEachOther() async throws {
        try await withBed(
            ["a": (1...5).map { candidate($0) }, "b": (11...15).map { candidate($0) }], concurrency: ["a": 1, "b": 1]
        ) { bed in
            #expect(Set(await bed.offers(4)) == [1, 2, 11, 12])
        }
    }

    @Test
    func aModelThatIsNotServedGetsNoOffers() async throws {
        try await withBed(["a": [candidate(1)], "b": [candidate(2)]], concurrency: ["b": 1]) { bed in
            #expect(await bed.offers(1) == [2])
        }
    }

    @Test
    func aReadThatFailsIsTriedAgain() async throws {
        try await withBed(["a": [candidate(1)]], concurrency: ["a": 1], failures: 3) { bed in
            #expect(await bed.offers(1) == [1])
        }
    }

    @Test
    func aJobThatNobodyToldOfIsFoundByALaterLook() async throws {
        try await withBed(["a": [candidate(1)]], concurrency: ["a": 2]) { bed in
            _ = await bed.offers(1)
            bed.take(1)
            bed.shelf.add(candidate(2), of: "a")
            bed.scheduler.askAgain { _, _ in false }
            bed.scheduler.askAgain { model, _ in model == "a" }
            #expect(await bed.offers(2) == [1, 2])
        }
    }

    // MARK: Suspects

    @Test
    func aSuspectRunsAlone() async throws {
        try await withBed(
            ["a": [candidate(1, isSuspect: true), candidate(2), candidate(3)]], concurrency: ["a": 8]
        ) { bed in
            #expect(await bed.offers(1) == [1])
            bed.take(1)
            bed.add(candidate(4, priority: 9))
            #expect(await bed.offers(1) == [1])
            bed.end(1)
            #expect(await bed.offers(4) == [1, 4, 2, 3])
        }
    }

    @Test
    func aSuspectWaitsUntilItsModelIsIdleAndNothingPassesIt() async throws {
        try await withBed(
            ["a": [candidate(1), candidate(2, isSuspect: true), candidate(3)]], concurrency: ["a": 8]
        ) { bed in
            #expect(await bed.offers(1) == [1])
            bed.take(1)
            #expect(await bed.offers(1) == [1])
            bed.end(1)
            #expect(await bed.offers(2) == [1, 2])
        }
    }

    @Test
    func oneSuspectRunsAtATimeInAllModels() async throws {
        try await withBed(["a": [candidate(1, isSuspect: true)]], concurrency: ["a": 1, "b": 1]) { bed in
            _ = await bed.offers(1)
            bed.take(1)
            bed.add(candidate(2, isSuspect: true), of: "b")
            bed.add(candidate(3), of: "b")
            #expect(await bed.offers(2) == [1, 3])
            bed.take(3, of: "b")
            bed.end(3, of: "b")
            bed.end(1)
            #expect(await bed.offers(3) == [1, 3, 2])
        }
    }

    @Test
    func aSuspectThatWasOfferedTwiceRunsAloneUntilItHasEnded() async throws {
        try await withBed(["a": [candidate(1, isSuspect: true)]], concurrency: ["a": 2, "b": 1]) { bed in
            _ = await bed.offers(1)
            // Its offer seemed lost, was made again, and both came.
            bed.scheduler.offerAgain([Offer(model: "a", job: JobKey(value: 1))])
            #expect(await bed.offers(2) == [1, 1])
            bed.take(1)
            bed.take(1)
            bed.end(1)
            bed.add(candidate(2, isSuspect: true), of: "b")
            bed.add(candidate(3), of: "b")
            #expect(await bed.offers(3) == [1, 1, 3])
            bed.end(1)
            bed.take(3, of: "b")
            bed.end(3, of: "b")
            #expect(await bed.offers(4) == [1, 1, 3, 2])
        }
    }

    // MARK: Settings

    @Test
    func aPausedModelGetsNoOffersUntilItGoesOn() async throws {
        try await withBed(["a": (1...3).map { candidate($0) }], concurrency: ["a": 1]) { bed in
            _ = await bed.offers(2)
            bed.scheduler.setPaused(true, "a")
            bed.take(1)
            bed.end(1)
            #expect(await bed.offers(2) == [1, 2])
            bed.scheduler.setPaused(false, "a")
            #expect(await bed.offers(3) == [1, 2, 3])
        }
    }

    @Test
    func aLoweredConcurrencyIsReachedByEndsAlone() async throws {
        try await withBed(["a": (1...9).map { candidate($0) }], concurrency: ["a": 3]) { bed in
            _ = await bed.offers(4)
            for number in 1...3 { bed.take(Int64(number)) }
            bed.configure(["a": 1])
            bed.end(1)
            bed.end(2)
            #expect(await bed.offers(4).count == 4)
            bed.take(4)
            bed.end(3)
            bed.end(4)
            #expect(await bed.offers(6).count == 6)
        }
    }

    @Test
    func aRaisedConcurrencyIsUsedAtOnce() async throws {
        try await withBed(["a": (1...9).map { candidate($0) }], concurrency: ["a": 1]) { bed in
            _ = await bed.offers(2)
            bed.configure(["a": 4])
            #expect(await bed.offers(5).count == 5)
        }
    }

    @Test
    func aServerOfAPausedModelIsNotWaitedFor() async throws {
        try await withBed([:], concurrency: ["a": 1]) { bed in
            bed.configure(["a": 1], health: "/health")
            async let before = bed.scheduler.isWell("a")
            while !bed.scheduler.look().asking.contains("a") { await Task.yield() }
            bed.scheduler.setPaused(true, "a")
            #expect(await before, "it was asked, and no one tells the answer")
            #expect(await bed.scheduler.isWell("a"))
        }
    }
}
