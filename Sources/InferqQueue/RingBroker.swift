import DequeModule
import Synchronization

/// The broker inside this process: one bounded ring buffer a model (a `Deque` is one), whatever the depth of the queue.
package final class RingBroker: Broker {
    private struct Channel {
        var offers: Deque<Offer> = []
        /// Workers that wait, the longest first. Numbers, so that a cancelled one can be found.
        var waiters: Deque<(number: UInt64, continuation: CheckedContinuation<Offer?, Never>)> = []
    }

    private struct State {
        var channels: [String: Channel] = [:]
        var isClosed = false
        var waiterCount: UInt64 = 0
        /// Waits that were cancelled before they had begun.
        var cancelled: Set<UInt64> = []
    }

    private let channels = Mutex(State())
    private let capacity: Int

    package var state: BrokerState { .ring }

    /// - Parameter capacity: offers of one model that may wait for a worker.
    package init(capacity: Int) {
        self.capacity = capacity
    }

    /// It loses nothing, and is offered no more than this process may take.
    package func start(room: @escaping @Sendable (String) -> Int, onLoss: @escaping @Sendable (BrokerLoss) -> Void) {}

    package func offer(_ offer: Offer) -> Bool {
        var waiter: CheckedContinuation<Offer?, Never>?
        let isAccepted = channels.withLock { state -> Bool in
            guard !state.isClosed else { return false }
            if let first = state.channels[offer.model, default: Channel()].waiters.popFirst() {
                waiter = first.continuation
                return true
            }
            guard state.channels[offer.model, default: Channel()].offers.count < capacity else { return false }
            state.channels[offer.model, default: Channel()].offers.append(offer)
            return true
        }
        waiter?.resume(returning: offer)
        return isAccepted
    }

    package func take(_ model: String) async -> Offer? {
        await take(model, whenWaiting: {})
    }

    /// As ``take(_:)``.
    ///
    /// - Parameter whenWaiting: called once the take has begun to wait.
    package func take(_ model: String, whenWaiting: @Sendable () -> Void) async -> Offer? {
        let number = channels.withLock { state in
            state.waiterCount += 1
            return state.waiterCount
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let result = channels.withLock { state -> Offer?? in
                    if state.isClosed || state.cancelled.remove(number) != nil { return .some(nil) }
                    if let offer = state.channels[model, default: Channel()].offers.popFirst() { return .some(offer) }
                    state.channels[model, default: Channel()].waiters.append((number, continuation))
                    return nil
                }
                if case .some(let offer) = result { continuation.resume(returning: offer) } else { whenWaiting() }
            }
        } onCancel: {
            cancelWait(number, of: model)
        }
    }

    private func cancelWait(_ number: UInt64, of model: String) {
        let waiter = channels.withLock { state -> CheckedContinuation<Offer?, Never>? in
            guard let index = state.channels[model]?.waiters.firstIndex(where: { $0.number == number }) else {
                state.cancelled.insert(number)
                return nil
            }
            return state.channels[model]?.waiters.remove(at: index).continuation
        }
        waiter?.resume(returning: nil)
    }

    /// How many takes of a model wait.
    package func waiting(for model: String) -> Int {
        channels.withLock { $0.channels[model]?.waiters.count ?? 0 }
    }

    package func withdraw(_ offer: Offer) -> Bool {
        channels.withLock { state in
            guard let index = state.channels[offer.model]?.offers.firstIndex(of: offer) else { return false }
            state.channels[offer.model]?.offers.remove(at: index)
            return true
        }
    }

    package func close() {
        let waiters = channels.withLock { state -> [CheckedContinuation<Offer?, Never>] in
            state.isClosed = true
            defer { state.channels = [:] }
            return state.channels.values.flatMap { $0.waiters.map(\.continuation) }
        }
        for waiter in waiters { waiter.resume(returning: nil) }
    }
}
