import DequeModule
import Synchronization

/// Requests of one connection on their way from the event loop to the task that answers them, in order.
final class RequestQueue: Sendable {
    private struct State {
        var requests: Deque<Request> = []
        var waiter: CheckedContinuation<Request?, Never>?
        var isFinished = false
    }

    private let state = Mutex(State())

    /// Requests that wait.
    var count: Int { state.withLock { $0.requests.count } }

    func put(_ request: Request) {
        let waiter = state.withLock { state -> CheckedContinuation<Request?, Never>? in
            guard let waiter = state.waiter else {
                state.requests.append(request)
                return nil
            }
            state.waiter = nil
            return waiter
        }
        waiter?.resume(returning: request)
    }

    /// No request comes after those that wait.
    func finish() {
        let waiter = state.withLock { state -> CheckedContinuation<Request?, Never>? in
            state.isFinished = true
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume(returning: nil)
    }

    /// The next request; nil at the end. One task asks at a time.
    func next() async -> Request? {
        await withCheckedContinuation { continuation in
            let request = state.withLock { state -> Request?? in
                if let request = state.requests.popFirst() { return .some(request) }
                if state.isFinished { return .some(nil) }
                precondition(state.waiter == nil, "two tasks answer one connection")
                state.waiter = continuation
                return nil
            }
            if case .some(let request) = request { continuation.resume(returning: request) }
        }
    }
}
