/// How much time has passed in the life of a store, in milliseconds: durations are measured by it, since no one sets it.
///
/// It begins with what the wall clock says when the store is made, so that its numbers look like times; from then on
/// only ``StoreClock`` moves it. To show a time to people, use a ``Timestamp``.
package struct Elapsed: Sendable, Hashable, Comparable {
    package var milliseconds: Int64

    package init(milliseconds: Int64) {
        self.milliseconds = milliseconds
    }

    package static func < (left: Elapsed, right: Elapsed) -> Bool {
        left.milliseconds < right.milliseconds
    }

    /// Saturates instead of overflowing.
    package static func + (left: Elapsed, right: Duration) -> Elapsed {
        let (sum, overflow) = left.milliseconds.addingReportingOverflow(right.milliseconds)
        return Elapsed(milliseconds: overflow ? .max : sum)
    }

    /// Saturates instead of overflowing.
    package static func - (left: Elapsed, right: Duration) -> Elapsed {
        let (rest, overflow) = left.milliseconds.subtractingReportingOverflow(right.milliseconds)
        return Elapsed(milliseconds: overflow ? .min : rest)
    }

    package static func - (left: Elapsed, right: Elapsed) -> Duration {
        let (rest, overflow) = left.milliseconds.subtractingReportingOverflow(right.milliseconds)
        return .milliseconds(overflow ? .max : rest)
    }
}

/// One reading of the clocks: what a change is dated with.
package struct Moment: Sendable, Equatable {
    /// What people are shown, right or wrong.
    package var wall: Timestamp
    /// What waits are measured by: retries, delays, expiry.
    package var elapsed: Elapsed
    /// What removals are measured by. The same, without the time in which the machine was off: how long that was, the
    /// wall clock alone says, and it may have been set.
    package var certain: Elapsed

    package init(wall: Timestamp, elapsed: Elapsed, certain: Elapsed) {
        self.wall = wall
        self.elapsed = elapsed
        self.certain = certain
    }
}
