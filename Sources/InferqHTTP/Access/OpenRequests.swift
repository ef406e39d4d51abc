import InferqCore
import NIOCore
import Synchronization

/// Requests that are being answered under a right: they end when it is taken away or expires, however long they would go on.
final class OpenRequests: Sendable {
    private struct Open {
        let connection: Connection
        var caller: Caller
        let begun: ContinuousClock.Instant
    }

    /// A request that began so lately may have its answer all the same: nearly all end by themselves meanwhile.
    private static let grace = Duration.milliseconds(400)

    private struct State {
        var open: [ObjectIdentifier: Open] = [:]
        /// When the next look at what has expired is due; nil: at no time.
        var nextLook: Timestamp?

        /// Until a right ends before the look that is due; nil: none does.
        mutating func waitForLook(_ expires: Timestamp?) -> Duration? {
            guard let expires, nextLook.map({ expires < $0 }) ?? true else { return nil }
            nextLook = expires
            return expires - .now
        }
    }

    private let state = Mutex(State())
    private let wheel: TimerWheel

    init(wheel: TimerWheel) {
        self.wheel = wheel
    }

    /// A request of this caller is answered from now on; ``end(_:)`` follows.
    func begin(_ caller: Caller, _ connection: Connection) {
        let wait = state.withLock { state -> Duration? in
            state.open[ObjectIdentifier(connection)] = Open(
                connection: connection, caller: caller, begun: .now)
            return state.waitForLook(caller.expires)
        }
        if let wait { look(after: wait) }
    }

    func end(_ connection: Connection) {
        state.withLock { $0.open[ObjectIdentifier(connection)] = nil }
    }

    /// Takes over what each caller may do from now on, and cuts the connections of those that may do nothing, within a second.
    ///
    /// - Parameter right: what a caller may do now; nil: nothing. It must not block.
    func review(_ right: @escaping @Sendable (Caller, Connection) -> Caller?) {
        review(begunBefore: .now - Self.grace, right)
        // Those that began a moment ago, and those that were let in by the rules of before and begin just now.
        _ = wheel.call(after: Self.grace) { [weak self] in self?.review(begunBefore: .now, right) }
    }

    private func review(begunBefore limit: ContinuousClock.Instant, _ right: (Caller, Connection) -> Caller?) {
        let (ending, wait) = state.withLock { state in
            var ending: [Open] = []
            for (id, one) in state.open {
                if let caller = right(one.caller, one.connection) {
                    state.open[id]?.caller = caller
                } else if one.begun <= limit {
                    ending.append(one)
                }
            }
            return (ending, state.waitForLook(state.open.values.compactMap(\.caller.expires).min()))
        }
        for one in ending { one.connection.channel.close(promise: nil) }
        if let wait { look(after: wait) }
    }

    private func look(after wait: Duration) {
        // By a tick later: the moment itself must have passed. A wait of months is looked at each day, and the clock with it.
        _ = wheel.call(after: min(max(wait, .zero) + .milliseconds(50), .seconds(86_400))) { [weak self] in
            self?.look(now: .now)
        }
    }

    private func look(now: Timestamp) {
        let (ending, wait) = state.withLock { state in
            state.nextLook = nil
            let ending = state.open.values.filter { $0.caller.isExpired(at: now) }
            let next = state.open.values.compactMap(\.caller.expires).filter { $0 > now }.min()
            return (ending, state.waitForLook(next))
        }
        for one in ending { one.connection.channel.close(promise: nil) }
        if let wait { look(after: wait) }
    }
}
