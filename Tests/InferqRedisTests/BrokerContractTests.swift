import InferqCore
import InferqQueue
import InferqStore
import Testing

/// What every broker must do; run against each one that can be reached.
@Suite(.timeLimit(.minutes(10)))
struct BrokerContractTests {
    private func offer(_ number: Int64, of model: String = "a") -> Offer {
        Offer(model: model, job: JobKey(value: number))
    }

    /// All that is offered at this moment, in order.
    private func drain(_ broker: any Broker, _ model: String = "a", count: Int) async -> [Int64] {
        var taken: [Int64] = []
        for _ in 0..<count {
            if let offer = await broker.take(model) { taken.append(offer.job.value) }
        }
        return taken
    }

    @Test(arguments: BrokerKind.reachable)
    func offersOfAModelAreTakenInTheirOrder(_ kind: BrokerKind) async throws {
        try await kind.withBroker { broker in
            for number in 0..<10 { #expect(broker.offer(offer(Int64(number)))) }
            #expect(await drain(broker, count: 10) == Array(0..<10))
        }
    }

    @Test(arguments: BrokerKind.reachable)
    func modelsDoNotMix(_ kind: BrokerKind) async throws {
        let offers = (0..<4).map { offer($0, of: $0 % 2 == 0 ? "a" : "b") }
        try await kind.withBroker(for: offers) { broker in
            for offer in offers { #expect(broker.offer(offer)) }
            #expect(await drain(broker, "b", count: 2) == [1, 3])
            #expect(await drain(broker, "a", count: 2) == [0, 2])
        }
    }

    @Test(arguments: BrokerKind.reachable)
    func eachOfferIsTakenOnce(_ kind: BrokerKind) async throws {
        let total = 1000
        try await kind.withBroker(for: (1...Int64(total)).map { offer($0) }) { broker in
            let taken = await withTaskGroup(of: [Int64].self) { group in
                for _ in 0..<8 {
                    group.addTask {
                        var taken: [Int64] = []
                        while let offer = await broker.take("a") {
                            taken.append(offer.job.value)
                            // The last one of all.
                            if offer.job.value == total { broker.close() }
                        }
                        return taken
                    }
                }
                for number in 1...total {
                    while !broker.offer(offer(Int64(number))) { await Task.yield() }
                }
                return await group.reduce(into: []) { $0 += $1 }
            }
            #expect(taken.sorted() == Array(1...Int64(total)))
        }
    }

    @Test(arguments: BrokerKind.reachable)
    func aTakeWaitsForAnOffer(_ kind: BrokerKind) async throws {
        try await kind.withBroker { broker in
            async let taken = broker.take("a")
            await Task.yield()
            #expect(broker.offer(offer(7)))
            #expect(await taken == offer(7))
        }
    }

    @Test(arguments: BrokerKind.reachable)
    func aFullBrokerRefusesUntilOneIsTaken(_ kind: BrokerKind) async throws {
        try await kind.withBroker(capacity: 2) { broker in
            #expect([1, 2, 3].map { broker.offer(offer($0)) } == [true, true, false])
            #expect(await broker.take("a") == offer(1))
            #expect(broker.offer(offer(3)))
        }
    }

    @Test(arguments: BrokerKind.reachable)
    func aFullModelLeavesTheOthersTheirRoom(_ kind: BrokerKind) async throws {
        let offers = [offer(1, of: "a"), offer(2, of: "b")]
        try await kind.withBroker(capacity: 1, for: offers) { broker in
            #expect(offers.allSatisfy { broker.offer($0) })
        }
    }

    @Test(arguments: BrokerKind.reachable)
    func aCloseEndsTheTakesThatWait(_ kind: BrokerKind) async throws {
        try await kind.withBroker { broker in
            let ended = await withTaskGroup(of: Offer?.self) { group in
                for model in ["a", "a", "b"] { group.addTask { await broker.take(model) } }
                await Task.yield()
                broker.close()
                return await group.reduce(into: []) { $0.append($1) }
            }
            #expect(ended == [nil, nil, nil])
        }
    }

    @Test(arguments: BrokerKind.reachable)
    func aClosedBrokerTakesAndGivesNothing(_ kind: BrokerKind) async throws {
        try await kind.withBroker { broker in
            #expect(broker.offer(offer(1)))
            broker.close()
            #expect(!broker.offer(offer(2)))
            #expect(await broker.take("a") == nil)
        }
    }

    @Test(arguments: BrokerKind.reachable)
    func aCancelledTakeLeavesTheOfferToOthers(_ kind: BrokerKind) async throws {
        try await kind.withBroker { broker in
            #expect(broker.offer(offer(1)))
            let cancelled = await withTaskGroup(of: Offer?.self) { group in
                group.cancelAll()
                group.addTask { await broker.take("a") }
                return await group.next() ?? nil
            }
            #expect(cancelled == nil)
            #expect(await broker.take("a") == offer(1))
        }
    }

    @Test(arguments: BrokerKind.reachable)
    func aTakeThatIsCancelledWhileItWaitsEnds(_ kind: BrokerKind) async throws {
        try await kind.withBroker { broker in
            let cancelled = await withTaskGroup(of: Offer?.self) { group in
                group.addTask { await broker.take("a") }
                await Task.yield()
                group.cancelAll()
                return await group.next() ?? nil
            }
            #expect(cancelled == nil)
        }
    }

    /// Whichever comes first, the cancel or the offer: it is either taken or still there.
    @Test(arguments: BrokerKind.reachable)
    func aCancelAgainstAnOfferLosesNothing(_ kind: BrokerKind) async throws {
        try await kind.withBroker(for: (0..<500).map { offer($0) }) { broker in
            for number in 0..<500 {
                let taken = await withTaskGroup(of: Offer?.self) { group in
                    group.addTask { await broker.take("a") }
                    group.addTask {
                        _ = broker.offer(offer(Int64(number)))
                        return nil
                    }
                    group.cancelAll()
                    return await group.reduce(into: nil) { $0 = $0 ?? $1 }
                }
                let found = if let taken { taken } else { await broker.take("a") }
                #expect(found == offer(Int64(number)))
            }
        }
    }

    @Test(arguments: BrokerKind.reachable)
    func aWithdrawnOfferIsNotTaken(_ kind: BrokerKind) async throws {
        try await kind.withBroker { broker in
            #expect([1, 2].map { broker.offer(offer($0)) } == [true, true])
            #expect(broker.withdraw(offer(1)))
            #expect(!broker.withdraw(offer(3)))
            #expect(await broker.take("a") == offer(2))
            #expect(!broker.withdraw(offer(2)))
        }
    }
}
