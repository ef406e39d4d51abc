import Synchronization
import TestSupport
import Testing

@testable import InferqCore
@testable import InferqQueue
@testable import InferqStore

/// Remembers what was offered, and lets a test wait for it.
final class Ledger: Broker {
    private let kept = Recording<Offer>()
    private let limit = Mutex(Int.max)
    private let bell = Bell()

    var state: BrokerState { .ring }

    func start(room: @escaping @Sendable (String) -> Int, onLoss: @escaping @Sendable (BrokerLoss) -> Void) {}

    func offer(_ offer: Offer) -> Bool {
        guard kept.entries.count < limit.withLock({ $0 }) else { return false }
        kept.add(offer)
        bell.ring(.event)
        return true
    }

    func take(_ model: String) async -> Offer? { nil }

    func withdraw(_ offer: Offer) -> Bool { false }

    func close() {}

    var offers: [Offer] { kept.entries }

    /// From now on so many offers are accepted, of all that are made.
    func admit(_ count: Int) { limit.withLock { $0 = count } }

    /// Returns once so many offers were made.
    func waitForOffers(_ count: Int) async {
        while kept.entries.count < count, !Task.isCancelled { _ = await bell.wait() }
    }
}

/// The due jobs as a store would tell them.
final class Shelf: Sendable {
    private let due: Mutex<[String: [Candidate]]>
    private let failures: Mutex<Int>

    /// - Parameter failures: so many reads fail first.
    init(_ due: [String: [Candidate]], failures: Int) {
        self.due = Mutex(due)
        self.failures = Mutex(failures)
    }

    func read(_ model: String, _ owners: DueOwners, _ limit: Int) throws -> [Candidate] {
        let fails = failures.withLock { failures in
            failures -= 1
            return failures >= 0
        }
        if fails { throw StoreError.failed(reason: "a test says so") }
        return due.withLock { due in
            let found = due[model, default: []].filter { candidate in
                switch owners {
                case .everyone(let others): !others.contains(candidate.client ?? "")
                case .client(let client): candidate.client == client
                }
            }
            return Array(found.sorted().prefix(limit))
        }
    }

    func add(_ candidate: Candidate, of model: String) {
        due.withLock { $0[model, default: []].append(candidate) }
    }

    func remove(_ offer: Offer) {
        due.withLock { $0[offer.model]?.removeAll { $0.key == offer.job } }
    }
}

func candidate(
    _ number: Int64, priority: Int = 0, isSuspect: Bool = false, client: String? = nil
) -> Candidate {
    Candidate(key: JobKey(value: number), priority: priority, isSuspect: isSuspect, client: client)
}

/// A running scheduler over some due jobs.
struct SchedulerBed: Sendable {
    let ledger = Ledger()
    let shelf: Shelf
    let scheduler: Scheduler

    init(_ due: [String: [Candidate]], failures: Int) {
        let shelf = Shelf(due, failures: failures)
        self.shelf = shelf
        scheduler = Scheduler(broker: ledger) { try shelf.read($0, $1, $2) }
    }

    /// What was offered once at least `count` were, by number; exact, since a step offers all that it can.
    func offers(_ count: Int) async -> [Int64] {
        await ledger.waitForOffers(count)
        _ = scheduler.running("")
        return ledger.offers.map(\.job.value)
    }

    func take(_ number: Int64, of model: String = "a", at place: AttemptPlace = .local) {
        let offer = Offer(model: model, job: JobKey(value: number))
        shelf.remove(offer)
        scheduler.taken(offer, at: place)
    }

    func configure(_ concurrency: [String: Int], health: String = "") {
        scheduler.configure(
            concurrency.map { name, slots in
                var model = ModelSettings(name: name, url: "http://127.0.0.1:1/")
                model.concurrency = slots
                model.health = health
                return model
            }
        )
    }

    func end(_ number: Int64, of model: String = "a", at place: AttemptPlace = .local) {
        scheduler.ended(Offer(model: model, job: JobKey(value: number)), at: place)
    }

    func add(_ candidate: Candidate, of model: String = "a") {
        shelf.add(candidate, of: model)
        scheduler.becameDue([candidate], of: model)
    }
}

func withBed(
    _ due: [String: [Candidate]],
    concurrency: [String: Int],
    limits: [String: Int] = [:],
    failures: Int = 0,
    _ body: @Sendable (SchedulerBed) async -> Void
) async throws {
    let bed = SchedulerBed(due, failures: failures)
    bed.configure(concurrency)
    bed.scheduler.setRunningLimits(limits)
    try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await bed.scheduler.run() }
        await body(bed)
        group.cancelAll()
        try await group.waitForAll()
    }
}
