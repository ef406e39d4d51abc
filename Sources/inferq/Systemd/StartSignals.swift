import Glibc
import Synchronization
import UnixSignals

/// What signals do until the services take them: from the first instruction of `serve` and `worker` on.
///
/// libdispatch replaces these actions when the first sequence of a signal is made, for good; from then on the kernel
/// keeps a signal that comes while there is no sequence.
enum StartSignals {
    private static let hasHungUp = Atomic(false)

    /// SIGHUP is remembered until somebody reads the configuration again at it. SIGTERM and SIGINT end the process in 0,
    /// wherever it is: nothing was accepted yet, and what the start does to the store is done whole or not at all.
    static func take() {
        signal(SIGPIPE, SIG_IGN)
        // Made before its first use, which is in a signal's action.
        hasHungUp.store(false, ordering: .relaxed)
        signal(SIGHUP) { _ in StartSignals.hasHungUp.store(true, ordering: .relaxed) }
        for number in [SIGTERM, SIGINT] { signal(number) { _ in _exit(0) } }
    }

    /// One value for each SIGHUP, the first at once if one came during the start.
    static func hangUps() async -> HangUps {
        let signals = await UnixSignalsSequence(trapping: .sighup)
        return HangUps(signals: signals, isDue: hasHungUp.exchange(false, ordering: .relaxed))
    }

    struct HangUps: AsyncSequence, Sendable {
        fileprivate let signals: UnixSignalsSequence
        fileprivate let isDue: Bool

        func makeAsyncIterator() -> Iterator {
            Iterator(signals: signals.makeAsyncIterator(), isDue: isDue)
        }

        struct Iterator: AsyncIteratorProtocol {
            fileprivate var signals: UnixSignalsSequence.AsyncIterator
            fileprivate var isDue: Bool

            mutating func next() async -> Void? {
                if isDue {
                    isDue = false
                    return ()
                }
                return await signals.next().map { _ in }
            }
        }
    }
}
