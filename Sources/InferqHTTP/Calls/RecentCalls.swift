import Crypto
import DequeModule
import InferqCore
import Synchronization

/// Calls whose connections have ended lately: a repeat of one is given its job, and the model server is called once.
///
/// Kept in memory: after a start, ``Callers`` fills it with those of the process before.
final class RecentCalls: Sendable {
    /// What two equal calls have in common: SHA-256 of client, method, target, model and body.
    typealias Fingerprint = [UInt8]

    private struct Entry {
        let number: Int
        let fingerprint: Fingerprint
        let until: ContinuousClock.Instant
    }

    private struct State {
        /// Of equal calls, the oldest first: there may be as many of them as calls.
        var jobs: [Fingerprint: Deque<(number: Int, job: UUIDv7)>] = [:]
        /// In the order in which they came.
        var entries = Deque<Entry>()
        var lastNumber = 0
        /// Calls whose clients wait, and repeats that wait for one of those to end.
        var open: [Fingerprint: (calls: Int, repeats: [Bell])] = [:]

        mutating func forget(now: ContinuousClock.Instant, keeping limit: Int) {
            while let first = entries.first, first.until <= now || entries.count > limit {
                entries.removeFirst()
                // Gone already if a repeat has taken it.
                guard jobs[first.fingerprint]?.first?.number == first.number else { continue }
                jobs[first.fingerprint]?.removeFirst()
                if jobs[first.fingerprint]?.isEmpty == true { jobs[first.fingerprint] = nil }
            }
        }

        mutating func takeNewest(of fingerprint: Fingerprint) -> UUIDv7? {
            let found = jobs[fingerprint]?.popLast()
            if jobs[fingerprint]?.isEmpty == true { jobs[fingerprint] = nil }
            return found?.job
        }
    }

    private let state = Mutex(State())
    private let limit: Int

    /// How long a repeat waits for the end of the connection that it stands in for: a client closes it before it asks again,
    /// and the news may be on its way.
    private static let patience = Duration.seconds(1)

    /// - Parameter limit: calls that are remembered at most; a client that repeats itself does so within seconds.
    init(limit: Int = 10_000) {
        self.limit = limit
    }

    /// - Parameters:
    ///   - client: whose call it is: no one is given the job of another client.
    ///   - line: method and target.
    ///   - digest: SHA-256 of the body.
    static func fingerprint(
        of client: String, _ line: String, _ model: String, _ digest: [UInt8]
    ) -> Fingerprint {
        var hash = SHA256()
        // Lengths in between: no two different calls give the same bytes.
        for part in [Array(client.utf8), Array(line.utf8), Array(model.utf8), digest] {
            withUnsafeBytes(of: UInt64(part.count).bigEndian) { hash.update(bufferPointer: $0) }
            hash.update(data: part)
        }
        return Array(hash.finalize())
    }

    /// A client waits for its call; ``end(_:_:for:)`` follows.
    func begin(_ fingerprint: Fingerprint) {
        state.withLock { $0.open[fingerprint, default: (0, [])].calls += 1 }
    }

    /// The connection of a call that began has ended.
    func end(_ job: UUIDv7, _ fingerprint: Fingerprint, for window: Duration) {
        add(job, fingerprint, for: window)
        let bells = state.withLock { state -> [Bell] in
            guard let open = state.open[fingerprint] else { return [] }
            state.open[fingerprint] = open.calls > 1 ? (open.calls - 1, []) : nil
            return open.repeats
        }
        for bell in bells { bell.ring(.event) }
    }

    /// As ``take(_:now:)``; while there are only calls whose clients still wait, it waits for one of them to end.
    func take(_ fingerprint: Fingerprint, waitingBy wheel: TimerWheel) async -> UUIDv7? {
        if let job = take(fingerprint) { return job }
        let bell = Bell()
        let isOpen = state.withLock { state in
            state.open[fingerprint]?.repeats.append(bell)
            return state.open[fingerprint] != nil
        }
        guard isOpen else { return take(fingerprint) }
        _ = await wheel.wait(at: bell, atMost: Self.patience)
        return take(fingerprint)
    }

    /// A call is remembered whose connection has ended.
    ///
    /// - Parameter window: how long.
    func add(_ job: UUIDv7, _ fingerprint: Fingerprint, for window: Duration, now: ContinuousClock.Instant = .now) {
        guard window > .zero else { return }
        state.withLock { state in
            state.lastNumber += 1
            state.jobs[fingerprint, default: []].append((state.lastNumber, job))
            state.entries.append(Entry(number: state.lastNumber, fingerprint: fingerprint, until: now + window))
            state.forget(now: now, keeping: limit)
        }
    }

    /// The job of the newest equal call. It is the repeat's own from now on.
    func take(_ fingerprint: Fingerprint, now: ContinuousClock.Instant = .now) -> UUIDv7? {
        state.withLock { state in
            state.forget(now: now, keeping: limit)
            return state.takeNewest(of: fingerprint)
        }
    }
}
