import Foundation
import Logging
import TestSupport

@testable import InferqCore
@testable import InferqQueue
@testable import InferqRedis
@testable import InferqStore

/// The brokers that there are. A new one joins the contract by one more case.
enum BrokerKind: CaseIterable, Sendable {
    case ring, redis

    /// Those that can be reached from here: Redis is left out, by name, where there is no redis-server.
    static var reachable: [BrokerKind] {
        allCases.filter { kind in
            guard kind == .redis, RedisServer.program == nil else { return true }
            print("SKIPPED: the broker over Redis, since there is no redis-server")
            return false
        }
    }

    /// Runs `body` with a broker of this kind, and closes it.
    ///
    /// - Parameters:
    ///   - capacity: offers of one model that may wait.
    ///   - offers: all that `body` offers: their jobs are in the store from which the broker reads them.
    func withBroker(
        capacity: Int = 16,
        for offers: [Offer] = (0..<20).map { Offer(model: "a", job: JobKey(value: $0)) },
        _ body: (any Broker) async throws -> Void
    ) async throws {
        switch self {
        case .ring:
            let broker = RingBroker(capacity: capacity)
            broker.start(room: { _ in .max }, onLoss: { _ in })
            defer { broker.close() }
            try await body(broker)
        case .redis:
            try await withRedisBroker(capacity: capacity, for: offers) { broker, _ in try await body(broker) }
        }
    }
}

/// Runs `body` with a broker over a Redis of its own, and closes it.
func withRedisBroker(
    capacity: Int = 16,
    for offers: [Offer],
    onLoss: @escaping @Sendable (BrokerLoss) -> Void = { _ in },
    _ body: (RedisBroker, RedisLink) async throws -> Void
) async throws {
    let server = try RedisServer()
    let link = server.link()
    try await withStore(remoteAttempts: .keep) { store in
        try await store.insertJobs(of: offers)
        let broker = RedisBroker(
            link: link, store: store, models: ["a", "b"], capacity: capacity, peers: Peers(), logger: .silent
        ) { "http://127.0.0.1:1" }
        broker.start(room: { _ in .max }, onLoss: onLoss)
        let isUp = Bell()
        link.start(
            RedisLink.Callbacks(
                prepare: { connection throws(RedisError) in try broker.prepare(connection) },
                changed: { _ in
                    broker.sessionChanged()
                    isUp.ring(.event)
                },
                makeRoom: { broker.makeRoom() }
            )
        )
        _ = await isUp.wait()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await broker.run() }
            try await body(broker, link)
            broker.close()
            group.cancelAll()
        }
        link.stop()
    }
}

extension JobStore {
    /// Stores a due job for each of these offers.
    fileprivate func insertJobs(of offers: [Offer]) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for offer in offers {
                group.addTask {
                    let job = Job(sampleOf: offer)
                    _ = try await self.insert(job, key: nil, at: .now())
                }
            }
            try await group.waitForAll()
        }
    }
}

extension Moment {
    fileprivate static func now() -> Moment {
        Moment(wall: .now, elapsed: Elapsed(milliseconds: 0), certain: Elapsed(milliseconds: 0))
    }
}

extension Job {
    /// A due job that may be offered so.
    init(sampleOf offer: Offer) {
        self.init(
            id: UUIDv7(key: offer.job, tag: 1, random: 1),
            eventID: UUIDv7(key: offer.job, tag: 1, random: 2),
            model: offer.model,
            options: Job.Options(),
            maxAttempts: 3,
            input: Payload(
                content: .inline(Array("{}".utf8)), byteCount: 2, contentType: "application/json", form: .json
            ),
            start: .at(.now),
            now: .now()
        )
    }
}

extension JobOffer {
    /// What is sent with an offer.
    init(sampleOf offer: Offer) {
        self.init(Job(sampleOf: offer), gatewayURL: "http://127.0.0.1:1", token: "token")
    }
}
