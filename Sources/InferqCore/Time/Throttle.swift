/// Lets a lone event through at once, and has a flood of them read in few large steps instead of many small ones.
package struct Throttle: Sendable {
    private let wheel: TimerWheel
    private var begin = ContinuousClock.now
    private var reads = 0

    package init(wheel: TimerWheel) {
        self.wheel = wheel
    }

    /// Called after each step: waits for a moment if there were many lately.
    package mutating func wait() async {
        let now = ContinuousClock.now
        if now - begin > .milliseconds(100) { (begin, reads) = (now, 0) }
        reads += 1
        guard reads > 5 else { return }
        await wheel.sleep(for: .milliseconds(50))
    }
}
