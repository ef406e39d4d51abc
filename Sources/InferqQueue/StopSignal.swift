package import InferqCore
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
        /// Ring with ``Bell/Rings/stop``.
        var bells: [ObjectIdentifier: Bell] = [:]
    }

    private let state = Mutex(State())

    package init() {}

    /// Why the attempt must stop; nil as long as it may go on.
    package var reason: Reason? { state.withLock { $0.reason } }

    package func stop(_ reason: Reason) {
        let (action, bells) = state.withLock { state -> ((@Sendable () -> Void)?, [Bell]) in
            guard state.reason == nil else { return (nil, []) }
            state.reason = reason
            return (state.action, Array(state.bells.values))
        }
        action?()
        for bell in bells { bell.ring(.stop) }
    }

    /// From now on `bell` rings with ``Bell/Rings/stop`` when the attempt must stop: at once if it must already.
    package func ring(_ bell: Bell) {
        let isStopped = state.withLock { state in
            state.bells[ObjectIdentifier(bell)] = bell
            return state.reason != nil
        }
        if isStopped { bell.ring(.stop) }
    }

    package func leave(_ bell: Bell) {
        state.withLock { $0.bells[ObjectIdentifier(bell)] = nil }
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
