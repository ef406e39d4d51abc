import Foundation
import Logging

@testable import InferqCore
@testable import InferqRedis

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
    /// - Parameter capacity: offers of one model that may wait.
    func withBroker(capacity: Int = 16, _ body: (any Broker) async throws -> Void) async throws {
        switch self {
        case .ring:
            let broker = RingBroker(capacity: capacity)
            defer { broker.close() }
            try await body(broker)
        case .redis:
            let server = try RedisServer()
            let link = server.link()
            let broker = RedisBroker(
                link: link, instance: InstanceID.random().text, capacity: capacity, fallsBack: false, logger: .silent
            )
            broker.attach(RedisBroker.Home(models: { ["a", "b"] }, describe: { $0.map { JobOffer(sampleOf: $0) } }))
            let isUp = Bell()
            link.whenTurning(RedisLink.Turns(changed: { _ in isUp.ring(.event) }))
            link.start()
            _ = await isUp.wait()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await broker.run() }
                try await body(broker)
                broker.close()
                group.cancelAll()
            }
            link.stop()
        }
    }
}

extension Logger {
    /// Says nothing.
    static let silent = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
}

extension JobOffer {
    /// What a store would say of the job that is offered.
    init(sampleOf offer: Offer) {
        let job = Job(
            id: UUIDv7(key: offer.job, tag: 1, random: 1),
            eventID: UUIDv7(key: offer.job, tag: 1, random: 2),
            model: offer.model,
            options: Job.Options(),
            maxAttempts: 3,
            input: Payload(
                content: .inline(Array("{}".utf8)), byteCount: 2, contentType: "application/json", form: .json
            ),
            start: .at(.now),
            now: Moment(wall: .now, elapsed: Elapsed(milliseconds: 0), certain: Elapsed(milliseconds: 0))
        )
        self.init(job, gatewayURL: "http://127.0.0.1:1", token: "token")
    }
}
