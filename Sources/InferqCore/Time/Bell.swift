import ServiceLifecycle
import Synchronization

/// What one waiting task is woken by: a new event, a deadline, a hang-up or the end. Rings that no one waited for are
/// kept and merged, so no order of ringing and waiting loses one, and a bell costs no task and no timer of its own.
package final class Bell: Sendable {
    package struct Rings: OptionSet, Sendable {
        package let rawValue: UInt8

        package init(rawValue: UInt8) {
            self.rawValue = rawValue
        }

        /// There is something new to read.
        package static let event = Rings(rawValue: 1)
        /// A deadline that was set on the ``TimerWheel`` has come.
        package static let deadline = Rings(rawValue: 2)
        /// The client is gone.
        package static let hangUp = Rings(rawValue: 4)
        /// The service is stopping, or the waiting task was cancelled.
        package static let stop = Rings(rawValue: 8)
        /// The attempt's job was cancelled.
        package static let cancel = Rings(rawValue: 16)
        /// What is new is the last there is: the job has ended.
        package static let end = Rings(rawValue: 32)
        /// More of a job's answer has come.
        package static let output = Rings(rawValue: 64)
    }

    private struct State {
        var rung: Rings = []
        var waiter: CheckedContinuation<Rings, Never>?
    }

    private let state = Mutex(State())

    package init() {}

    package func ring(_ ring: Rings) {
        let waiter = state.withLock { state -> (CheckedContinuation<Rings, Never>, Rings)? in
            state.rung.formUnion(ring)
            guard let waiter = state.waiter else { return nil }
            defer {
                state.waiter = nil
                state.rung = []
            }
            return (waiter, state.rung)
        }
        if let (continuation, rung) = waiter { continuation.resume(returning: rung) }
    }

    /// Whether a ring is kept that no one has waited for yet.
    package var hasRung: Bool { state.withLock { !$0.rung.isEmpty } }

    /// Returns what has rung since the last call, at once or as soon as something does. One task waits at a time.
    package func wait() async -> Rings {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let rung = state.withLock { state -> Rings in
                    guard state.rung.isEmpty else {
                        defer { state.rung = [] }
                        return state.rung
                    }
                    precondition(state.waiter == nil, "two tasks wait at one bell")
                    state.waiter = continuation
                    return []
                }
                if !rung.isEmpty { continuation.resume(returning: rung) }
            }
        } onCancel: {
            ring(.stop)
        }
    }

    /// Repeats `step` until the graceful shutdown of the service or the cancellation of the task, and rings then with
    /// ``Rings/stop``, so that a step that waits at this bell returns.
    package func whileRunning(_ step: () async -> Void) async {
        await withTaskCancellationOrGracefulShutdownHandler {
            while !Task.isShuttingDownGracefully, !Task.isCancelled { await step() }
        } onCancelOrGracefulShutdown: {
            self.ring(.stop)
        }
    }
}
