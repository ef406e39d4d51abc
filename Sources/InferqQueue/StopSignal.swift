import Synchronization

/// Tells one attempt to stop, from outside of it. The first reason stays.
package final class StopSignal: Sendable {
    package enum Reason: Sendable {
        /// The job was cancelled.
        case cancelled
        /// The service must go.
        case serviceStops
    }

    private struct State {
        var reason: Reason?
        var action: (@Sendable () -> Void)?
    }

    private let state = Mutex(State())

    package init() {}

    /// Why the attempt must stop; nil as long as it may go on.
    package var reason: Reason? { state.withLock { $0.reason } }

    package func stop(_ reason: Reason) {
        let action = state.withLock { state -> (@Sendable () -> Void)? in
            guard state.reason == nil else { return nil }
            state.reason = reason
            return state.action
        }
        action?()
    }

    /// Calls `action`, which must not block, when the attempt must stop: at once if it must already. Replaces the
    /// action that was set before.
    package func whenStopped(_ action: (@Sendable () -> Void)?) {
        let isStopped = state.withLock { state in
            state.action = action
            return state.reason != nil
        }
        if isStopped { action?() }
    }
}
