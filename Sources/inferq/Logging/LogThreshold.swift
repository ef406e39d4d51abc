import Logging
import Synchronization

/// The level below which nothing is logged, shared by every logger and changeable while the program runs.
final class LogThreshold: Sendable {
    /// Index into `Logger.Level.allCases`: an atomic, since each log statement asks, those that say nothing too.
    private let index: Atomic<Int>

    init(_ level: Logger.Level) {
        index = Atomic(Self.index(of: level))
    }

    var level: Logger.Level {
        get { Logger.Level.allCases[index.load(ordering: .relaxed)] }
        set { index.store(Self.index(of: newValue), ordering: .relaxed) }
    }

    private static func index(of level: Logger.Level) -> Int {
        Logger.Level.allCases.firstIndex(of: level) ?? 0
    }
}
