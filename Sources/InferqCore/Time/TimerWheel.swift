import HeapModule
import ServiceLifecycle
import Synchronization

/// One timer for all who wait: heartbeats, waiting clients, time limits of attempts. A stream costs no timer of its own.
///
/// Deadlines are rounded up to whole ticks, so that thousands of them wake the process once a tick, and not at all
/// while there are none.
package final class TimerWheel: Service {
    private typealias Action = @Sendable () -> Void

    private struct State {
        /// What is called at each tick, by number.
        var slots: [Int64: [UInt64: Action]] = [:]
        /// The ticks of all slots, each once. A slot that was emptied keeps its place in both until it comes first, or
        /// until there are many of them.
        var order = Heap<Int64>()
        /// How many slots are empty.
        var emptied = 0
        var lastNumber: UInt64 = 0
        /// When the service wakes next; `max` while nothing is set.
        var nextTick = Int64.max

        mutating func add(_ action: @escaping Action, at slot: Int64) -> UInt64 {
            lastNumber += 1
            let others = Self.add(action, lastNumber, to: &slots[slot])
            if others == nil { order.insert(slot) }
            if others == 0 { emptied -= 1 }
            return lastNumber
        }

        /// - Returns: how many there were before; nil when there was no slot.
        private static func add(_ action: @escaping Action, _ number: UInt64, to slot: inout [UInt64: Action]?) -> Int?
        {
            guard let count = slot?.count else {
                slot = [number: action]
                return nil
            }
            slot?[number] = action
            return count
        }

        mutating func remove(_ number: UInt64, at slot: Int64) {
            guard Self.remove(number, from: &slots[slot]) else { return }
            emptied += 1
            // Deadlines of an hour that are taken back within a second would stay for the hour.
            if emptied > slots.count / 2, emptied > 64 { trim() }
        }

        /// - Returns: whether it was the last one.
        private static func remove(_ number: UInt64, from slot: inout [UInt64: Action]?) -> Bool {
            slot?.removeValue(forKey: number) != nil && slot?.isEmpty == true
        }

        private mutating func trim() {
            slots = slots.filter { !$0.value.isEmpty }
            order = Heap(slots.keys)
            emptied = 0
        }

        /// The first tick at which there is something to call, once those before it are dropped.
        mutating func first() -> Int64? {
            while let slot = order.min {
                if slots[slot]?.isEmpty == false { return slot }
                drop(slot)
            }
            return nil
        }

        /// - Returns: what is due up to `now`, in the order of ticks.
        mutating func takeDue(_ now: Int64) -> [Action] {
            var due: [Action] = []
            while let slot = first(), slot <= now {
                due += (slots[slot] ?? [:]).values
                drop(slot)
            }
            return due
        }

        /// - Parameter slot: the first one.
        private mutating func drop(_ slot: Int64) {
            order.removeMin()
            if slots.removeValue(forKey: slot)?.isEmpty == true { emptied -= 1 }
        }
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
        let step = max(1, ticks(tolerance))
        let due = min(ticks(ContinuousClock.now - start + delay + tick - .nanoseconds(1)), .max - step)
        let slot = (due + step - 1) / step * step
        let (number, isEarlier) = state.withLock { state in
            (state.add(action, at: slot), slot < state.nextTick)
        }
        if isEarlier { earlier.ring(.event) }
        return Deadline(slot: slot, number: number)
    }

    /// Takes a deadline back; one that has come already is no error.
    package func cancel(_ deadline: Deadline) {
        state.withLock { $0.remove(deadline.number, at: deadline.slot) }
    }

    /// Ticks that are held, empty ones among them: at most twice those with a deadline, and 64 more.
    var heldTicks: Int { state.withLock { $0.slots.count } }

    /// Waits at `bell` until it rings: with ``Bell/Rings/deadline`` after `delay`, if nothing else has rung before.
    ///
    /// - Parameters:
    ///   - delay: nil: as long as it takes.
    ///   - tolerance: how much later than that it may be; a tick at least.
    package func wait(at bell: Bell, atMost delay: Duration?, tolerance: Duration = .zero) async -> Bell.Rings {
        guard let delay else { return await bell.wait() }
        let deadline = ring(bell, after: delay, tolerance: tolerance)
        defer { cancel(deadline) }
        return await bell.wait()
    }

    /// Returns after `duration`, or when the task is cancelled.
    package func sleep(for duration: Duration) async {
        _ = await wait(at: Bell(), atMost: duration)
    }

    /// Returns after `duration`; a cancelled task waits too, as those do that have something to store and try again.
    package func pause(for duration: Duration) async {
        await withCheckedContinuation { continuation in
            _ = call(after: duration) { continuation.resume() }
        }
    }

    /// Ends on graceful shutdown: as the last one, since those who drain wait by it.
    package func run() async throws {
        await earlier.whileRunning {
            for action in takeDue() { action() }
            let next = state.withLock { state -> Int64 in
                state.nextTick = state.first() ?? .max
                return state.nextTick
            }
            await sleep(until: next)
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

    /// Whole ticks. Of integers: a quotient of two durations is a `Double`, which takes ten times as long.
    private func ticks(_ duration: Duration) -> Int64 {
        Int64(clamping: duration.attoseconds / tick.attoseconds)
    }

    private func takeDue() -> [Action] {
        let now = ticks(ContinuousClock.now - start)
        return state.withLock { $0.takeDue(now) }
    }
}
