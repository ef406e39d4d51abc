package import InferqCore
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// The clock of a store. Measures time by the machine's monotonic clock, which no one sets, and takes the wall clock's
/// word for nothing but the times that are shown.
///
/// While the kernel runs, time passes by its boot time clock, also while the machine sleeps and between two processes.
/// After a start of the machine time goes on from the newest entry of the store.
package final class StoreClock: Sendable {
    /// What is read of the machine.
    package struct Source: Sendable {
        package var wall: @Sendable () -> Timestamp
        /// Milliseconds since the machine's start, sleep included.
        package var sinceBoot: @Sendable () -> Int64

        package static let system = Source(wall: { .now }, sinceBoot: { Source.bootTime })

        private static var bootTime: Int64 {
            var time = timespec()
            clock_gettime(CLOCK_BOOTTIME, &time)
            return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
        }
    }

    /// How far the store's times are ahead of the boot time clock.
    struct Origin: Sendable, Equatable {
        var elapsed: Int64
        var certain: Int64
        /// What the start found; nil: nothing to tell.
        var finding: Finding?
    }

    /// What a start has to say of the wall clock.
    package enum Finding: Sendable, Equatable {
        /// Set while no process had the store; positive: forward.
        case set(by: Duration)
        /// It lies so far behind the newest entry of the store.
        case behind(by: Duration)
    }

    /// Smaller steps are those of a time service at work.
    package static let tolerance = Duration.seconds(1)

    private let source: Source
    private let origin: Origin
    /// The wall clock's lead on the boot time clock when it was last looked at, in milliseconds.
    private let lead: Atomic<Int64>
    private let steps = Mutex<[Duration]>([])
    /// In a structure: a closure that is in a generic value by itself is wrapped once more at each access.
    private struct Call: Sendable {
        let action: @Sendable () -> Void
    }

    private let onStep = Mutex<Call?>(nil)

    init(_ source: Source, _ origin: Origin) {
        self.source = source
        self.origin = origin
        lead = Atomic(source.wall().milliseconds - source.sinceBoot())
    }

    package var now: Moment {
        let sinceBoot = source.sinceBoot()
        let wall = source.wall()
        if Self.isStep(from: lead.load(ordering: .relaxed), to: wall.milliseconds - sinceBoot) { look() }
        return moment(wall, sinceBoot)
    }

    /// The job as it is shown now: the times that it waits for are told by the wall clock as it is, if that was set since.
    package func shown(_ job: Job) -> Job {
        guard case .pending(let isDue) = job.state else { return job }
        let now = now
        func time(_ elapsed: Elapsed, _ told: Timestamp) -> Timestamp {
            let time = now.wall + (elapsed - now.elapsed)
            return Self.isStep(from: told.milliseconds, to: time.milliseconds) ? time : told
        }
        var shown = job
        if !isDue, let due = job.due { shown.runAt = time(due, job.runAt) }
        if job.attempt == 0, let expiry = job.expiry {
            shown.expiry?.at = time(expiry.elapsed, expiry.at)
        }
        return shown
    }

    private func moment(_ wall: Timestamp, _ sinceBoot: Int64) -> Moment {
        Moment(
            wall: wall,
            elapsed: Elapsed(milliseconds: sinceBoot + origin.elapsed),
            certain: Elapsed(milliseconds: sinceBoot + origin.certain)
        )
    }

    // MARK: Steps of the wall clock

    private static func isStep(from before: Int64, to after: Int64) -> Bool {
        abs(after - before) > tolerance.milliseconds
    }

    /// Calls `action`, which must not block, when the wall clock was found set.
    package func whenSet(_ action: @escaping @Sendable () -> Void) {
        onStep.withLock { $0 = Call(action: action) }
    }

    /// By how much the wall clock was set, each time since the last call; positive: forward.
    package func takeSteps() -> [Duration] {
        _ = now
        return steps.withLock { steps in
            defer { steps = [] }
            return steps
        }
    }

    /// Looks closely: a thread that did not run between its two readings has found no step.
    private func look() {
        var found = Int64.max
        var spread = Int64.max
        for _ in 0..<3 where spread > 0 {
            let before = source.sinceBoot()
            let wall = source.wall().milliseconds
            let after = source.sinceBoot()
            guard after - before < spread else { continue }
            (found, spread) = (wall - before, after - before)
        }
        guard spread < Self.tolerance.milliseconds else { return }
        let before = lead.exchange(found, ordering: .relaxed)
        guard Self.isStep(from: before, to: found) else { return }
        steps.withLock { steps in
            // No one asks for them in a store without a sweeper.
            if steps.count < 16 { steps.append(.milliseconds(found - before)) }
        }
        onStep.withLock { $0 }?.action()
    }
}

// MARK: Starts

extension StoreClock {
    /// One reading, as the store keeps it at a start and at a stop.
    struct Note: Sendable, Equatable {
        var moment: Moment
        var sinceBoot: Int64

        var text: String {
            [moment.wall.milliseconds, moment.elapsed.milliseconds, moment.certain.milliseconds, sinceBoot]
                .map(String.init).joined(separator: " ")
        }

        init(moment: Moment, sinceBoot: Int64) {
            self.moment = moment
            self.sinceBoot = sinceBoot
        }

        init?(_ text: String) {
            let numbers = text.split(separator: " ").compactMap { Int64($0) }
            guard numbers.count == 4 else { return nil }
            moment = Moment(
                wall: Timestamp(milliseconds: numbers[0]), elapsed: Elapsed(milliseconds: numbers[1]),
                certain: Elapsed(milliseconds: numbers[2])
            )
            sinceBoot = numbers[3]
        }
    }

    /// A reading for the store to keep.
    var note: Note {
        let sinceBoot = source.sinceBoot()
        return Note(moment: moment(source.wall(), sinceBoot), sinceBoot: sinceBoot)
    }

    /// Where a store's time goes on.
    ///
    /// - Parameters:
    ///   - note: the last one that was kept; nil for a new store.
    ///   - newest: when the newest entry of the store was made, by the wall clock and as ``Moment/elapsed``.
    ///   - isSameBoot: whether the machine has run since the note.
    static func origin(
        after note: Note?,
        newest: (wall: Timestamp, elapsed: Elapsed)?,
        isSameBoot: Bool,
        wall: Timestamp,
        sinceBoot: Int64
    ) -> Origin {
        guard let note else {
            let start = wall.milliseconds - sinceBoot
            return Origin(elapsed: start, certain: start)
        }
        // How long the machine was off, as far as the store has believed it until the note.
        let believed = note.moment.elapsed - note.moment.certain
        var last = (wall: note.moment.wall, elapsed: note.moment.elapsed)
        if let newest, newest.elapsed > last.elapsed { last = newest }
        let passed = sinceBoot - note.sinceBoot
        let now = note.moment.elapsed + .milliseconds(passed)
        // A boot time clock that goes back is another one: a machine brought back from an image, or a container's.
        if isSameBoot, passed >= 0, now >= last.elapsed {
            let step = Duration.milliseconds(wall.milliseconds - note.moment.wall.milliseconds - passed)
            return Origin(
                elapsed: now.milliseconds - sinceBoot,
                certain: (now - believed).milliseconds - sinceBoot,
                finding: (step < .zero ? .zero - step : step) > tolerance ? .set(by: step) : nil
            )
        }
        // The wall clock alone tells for how long the machine was off. Waits take its word: at worst one ends early.
        // Nothing is removed on it.
        let off = max(wall - last.wall, .zero)
        let behind = last.wall - wall
        return Origin(
            elapsed: (last.elapsed + off).milliseconds - sinceBoot,
            certain: (last.elapsed - believed).milliseconds - sinceBoot,
            finding: behind > tolerance ? .behind(by: behind) : nil
        )
    }
}
