import ServiceLifecycle
import Synchronization

/// One timer for all who wait: heartbeats, waiting clients, time limits of attempts. A stream costs no timer of its own.
///
/// Deadlines are rounded up to whole ticks, so that thousands of them wake the process once a tick, and not at all
/// while there are none.
package final class TimerWheel: Service {
    private struct State {
        var slots: [Int64: [UInt64: @Sendable () -> Void]] = [:]
        var lastNumber: UInt64 = 0
        /// When the service wakes next; `max` while nothing is set.
        var nextTick = Int64.max
    }

    private let state = Mutex(State())
    private let earlier = Bell()
    private let start = ContinuousClock.now
    private let tick: Duration

    /// - Parameter tick: the precision of all deadlines.
    package init(tick: Duration = .milliseconds(50)) {
        self.tick = tick
    }

    /// A deadline that was set; needed to take it back.
    package struct Deadline: Sendable {
        fileprivate let slot: Int64
        fileprivate let number: UInt64
    }

    /// Rings `bell` with ``Bell/Rings/deadline`` after `delay`, at most `tolerance` (a tick at least) late.
    package func ring(_ bell: Bell, after delay: Duration, tolerance: Duration = .zero) -> Deadline {
        call(after: delay, tolerance: tolerance) { bell.ring(.deadline) }
    }

    /// Calls `action`, which must not block, after `delay`, at most `tolerance` (a tick at least) late.
    package func call(
        after delay: Duration,
        tolerance: Duration = .zero,
        _ action: @escaping @Sendable () -> Void
    ) -> Deadline {
        let step = max(1, Int64((tolerance / tick).rounded(.down)))
        let due = Int64(((ContinuousClock.now - start + delay) / tick).rounded(.up))
        let slot = (due + step - 1) / step * step
        let (number, isEarlier) = state.withLock { state in
            state.lastNumber += 1
            state.slots[slot, default: [:]][state.lastNumber] = action
            return (state.lastNumber, slot < state.nextTick)
        }
        if isEarlier { earlier.ring(.event) }
        return Deadline(slot: slot, number: number)
    }

    /// Takes a deadline back; one that has come already is no error.
    package func cancel(_ deadline: Deadline) {
        state.withLock { state in
            state.slots[deadline.slot]?[deadline.number] = nil
            if state.slots[deadline.slot]?.isEmpty == true { state.slots[deadline.slot] = nil }
        }
    }

    /// Ends on graceful shutdown: as the last one, since those who drain wait by it.
    package func run() async throws {
        await withTaskCancellationOrGracefulShutdownHandler {
            while !Task.isShuttingDownGracefully, !Task.isCancelled {
                for action in takeDue() { action() }
                let next = state.withLock { state -> Int64 in
                    state.nextTick = state.slots.keys.min() ?? .max
                    return state.nextTick
                }
                await sleep(until: next)
            }
        } onCancelOrGracefulShutdown: {
            self.earlier.ring(.stop)
        }
    }

    /// Returns at a tick, or as soon as an earlier deadline was set.
    private func sleep(until slot: Int64) async {
        guard slot != .max else {
            _ = await earlier.wait()
            return
        }
        let moment = start + tick * Int(slot)
        await withTaskGroup(of: Void.self) { group in
            group.addTask { [earlier] in
                do {
                    try await Task.sleep(until: moment, clock: .continuous)
                    earlier.ring(.event)
                } catch {
                    // Cancelled: an earlier deadline has rung already, or the service ends.
                }
            }
            _ = await earlier.wait()
            group.cancelAll()
        }
    }

    private func takeDue() -> [@Sendable () -> Void] {
        let now = Int64(((ContinuousClock.now - start) / tick).rounded(.down))
        return state.withLock { state in
            let due = state.slots.keys.filter { $0 <= now }.sorted()
            return due.flatMap { state.slots.removeValue(forKey: $0).map { Array($0.values) } ?? [] }
        }
    }
}
