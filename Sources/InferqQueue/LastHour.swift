/// What became of jobs in the last hour, minute by minute.
package struct LastHour: Sendable, Equatable {
    package struct Minute: Sendable, Equatable {
        /// The most jobs that were pending at a time.
        package var pending: Int32 = 0
        package var completed: Int32 = 0
        /// In ERROR.
        package var failed: Int32 = 0
    }

    /// An hour, as the page draws it: 720 bytes for each model, and for each client of a model.
    package static let length = 60

    /// The newest is at ``newest`` modulo the length; empty until there is something to tell.
    private var minutes: [Minute] = []
    /// Minutes since the process began to count.
    private var newest: Int64 = 0
    /// When the newest minute ends.
    private var end = Self.origin
    private var pending: Int32 = 0

    private static let origin = ContinuousClock.now

    /// Counts what a commit has changed.
    ///
    /// - Parameters:
    ///   - pending: jobs that are pending after it.
    ///   - state: that a job has ended in; nil: none has ended.
    mutating func note(pending: Int, ended state: End?, at now: ContinuousClock.Instant) {
        if now >= end || minutes.isEmpty { advance(to: now) }
        self.pending = Int32(clamping: pending)
        let index = Int(newest) % Self.length
        minutes[index].pending = max(minutes[index].pending, self.pending)
        switch state {
        case .completed: minutes[index].completed &+= 1
        case .failed: minutes[index].failed &+= 1
        case nil: break
        }
    }

    enum End {
        case completed
        case failed
    }

    /// The last sixty minutes, the oldest first; the last one is not over.
    func minutes(at now: ContinuousClock.Instant) -> [Minute] {
        var copy = self
        copy.advance(to: now)
        let next = Int(copy.newest + 1) % Self.length
        return Array(copy.minutes[next...] + copy.minutes[..<next])
    }

    /// Jobs that wait through a minute without a change are pending in it as well.
    private mutating func advance(to now: ContinuousClock.Instant) {
        if minutes.isEmpty { minutes = Array(repeating: Minute(), count: Self.length) }
        let minute = max(newest, (now - Self.origin).components.seconds / 60)
        for passed in max(newest + 1, minute - Int64(Self.length) + 1)...max(newest + 1, minute) where passed <= minute
        {
            minutes[Int(passed) % Self.length] = Minute(pending: pending)
        }
        newest = minute
        end = Self.origin + .seconds(60 * (minute + 1))
    }
}
