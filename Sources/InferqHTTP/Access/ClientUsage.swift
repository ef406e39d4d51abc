import InferqCore
import Synchronization

/// What each client has asked for today, and when it was last seen: kept in memory.
final class ClientUsage: Sendable {
    struct Figures: Sendable, Equatable {
        var lastSeen: Timestamp
        /// Whole days since 1970, UTC.
        fileprivate var day: Int64
        var requests = 0
        var submits = 0

        fileprivate mutating func note(isSubmit: Bool, _ now: Timestamp, _ day: Int64) {
            if self.day != day { self = Figures(lastSeen: now, day: day) }
            lastSeen = now
            if isSubmit { submits += 1 } else { requests += 1 }
        }
    }

    private let clients = Mutex<[String: Figures]>([:])

    /// One more request.
    ///
    /// - Parameter isSubmit: whether it has stored a job.
    func note(_ client: String, isSubmit: Bool = false, now: Timestamp = .now) {
        let day = now.milliseconds / 86_400_000
        clients.withLock { clients in
            clients[client, default: Figures(lastSeen: now, day: day)].note(isSubmit: isSubmit, now, day)
        }
    }

    /// Those that were seen since the start.
    var names: [String] { clients.withLock { Array($0.keys) } }

    /// - Returns: nil for a client that has not been seen since the start; what is counted is of this day.
    func figures(of client: String, now: Timestamp = .now) -> Figures? {
        guard var figures = clients.withLock({ $0[client] }) else { return nil }
        if figures.day != now.milliseconds / 86_400_000 { (figures.requests, figures.submits) = (0, 0) }
        return figures
    }
}
