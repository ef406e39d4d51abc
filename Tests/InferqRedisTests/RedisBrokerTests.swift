import Synchronization
import TestSupport
import Testing

@testable import InferqCore
@testable import InferqQueue
@testable import InferqRedis
@testable import InferqStore

/// What only the broker over Redis does.
@Suite(.timeLimit(.minutes(10)), .enabled(if: RedisServer.program != nil, "there is no redis-server"))
struct RedisBrokerTests {
    private let offers = (1...8).map { Offer(model: "a", job: JobKey(value: $0)) }

    /// The scheduler withdraws with its lock held, and what it is told of takes that lock: a gateway whose Redis had been
    /// full ended at the next withdrawal.
    @Test
    func aWithdrawalTellsOfNoLoss() async throws {
        let lock = Lock()
        let lost = Bell()
        let onLoss: @Sendable (BrokerLoss) -> Void = { loss in
            lock.mutex.withLock { _ in }
            if case .offers = loss { lost.ring(.event) }
        }
        try await withRedisBroker(for: offers, onLoss: onLoss) { broker, link in
            // Without room, what is offered is taken back, and fewer are admitted from then on.
            for offer in offers.dropLast() { #expect(broker.offer(offer)) }
            while broker.outstanding(of: "a").count < offers.count - 1 { await link.flush() }
            #expect(await link.ask(RedisCommand("CONFIG", "SET", "maxmemory", "1")) == .status("OK"))
            #expect(broker.offer(offers[7]))
            _ = await lost.wait()
            _ = await link.ask(RedisCommand("CONFIG", "SET", "maxmemory", "0"))
            let left = broker.outstanding(of: "a").keys
            #expect(!left.isEmpty)
            lock.mutex.withLock { _ in for offer in left { #expect(broker.withdraw(offer)) } }
        }
    }

    @Test
    func offersWhoseJobsHaveEndedAreUnwanted() async throws {
        let gone = Offer(model: "a", job: JobKey(value: 99))
        let unwanted = Kept<Offer>()
        let bell = Bell()
        let onLoss: @Sendable (BrokerLoss) -> Void = { loss in
            guard case .unwanted(let offer) = loss else { return }
            unwanted.set(offer)
            bell.ring(.event)
        }
        try await withRedisBroker(for: offers, onLoss: onLoss) { broker, _ in
            #expect(broker.offer(gone))
            #expect(broker.offer(offers[0]))
            _ = await bell.wait()
            #expect(unwanted.value == gone)
            #expect(await broker.take("a") == offers[0])
        }
    }

    @Test
    func anEmptiedStreamIsOfferedAgain() async throws {
        let again = Kept<[Offer]>()
        let onLoss: @Sendable (BrokerLoss) -> Void = { loss in
            if case .offers(let offers) = loss { again.set(offers) }
        }
        try await withRedisBroker(for: offers, onLoss: onLoss) { broker, link in
            #expect(broker.offer(offers[0]))
            while broker.outstanding(of: "a").isEmpty { await link.flush() }
            let lost = LostOffers(broker: broker, logger: .silent)
            await lost.look()
            #expect(again.value == nil)
            #expect(await link.ask(RedisCommand("XTRIM", broker.key(of: "a"), "MAXLEN", "0")) == .integer(1))
            await lost.look()
            #expect(again.value == [offers[0]])
            #expect(broker.outstanding(of: "a").isEmpty)
        }
    }
}

private final class Lock: Sendable {
    let mutex = Mutex(())
}
