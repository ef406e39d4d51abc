package import Logging
import Synchronization

/// Keeps trouble that repeats itself from flooding the log: of each kind a few lines a minute are written, and the
/// first one of a later minute says how many were left out.
///
/// The kinds must be few: a message, and a model or another name from the configuration.
package final class LogThrottle: Sendable {
    private struct Window {
        var begin: ContinuousClock.Instant
        var written = 0
        var leftOut = 0
    }

    private let windows = Mutex<[String: Window]>([:])
    private let limit: Int
    private let period: Duration

    /// - Parameter limit: lines of one kind in one `period`. Ten are enough to see what goes on, and a thousand slots
    ///   that fail every second still leave a log that can be read.
    package init(limit: Int = 10, period: Duration = .seconds(60)) {
        self.limit = limit
        self.period = period
    }

    /// Writes the line unless there were enough of its kind lately.
    ///
    /// - Parameter subject: what tells this line's kind from others with the same message: a model.
    package func log(
        _ logger: Logger,
        _ level: Logger.Level,
        _ message: Logger.Message,
        of subject: String = "",
        metadata: Logger.Metadata = [:]
    ) {
        guard level >= logger.logLevel, let leftOut = admit("\(message) \(subject)", now: .now) else { return }
        var metadata = metadata
        if leftOut > 0 { metadata["left_out"] = .stringConvertible(leftOut) }
        logger.log(level: level, message, metadata: metadata)
    }

    /// - Returns: how many of this kind were left out since the last one that was written; nil: leave this one out, too.
    func admit(_ kind: String, now: ContinuousClock.Instant) -> Int? {
        windows.withLock { windows in
            var window = windows[kind] ?? Window(begin: now)
            defer { windows[kind] = window }
            if now - window.begin >= period {
                window.begin = now
                window.written = 0
            }
            guard window.written < limit else {
                window.leftOut += 1
                return nil
            }
            defer { window.leftOut = 0 }
            window.written += 1
            return window.leftOut
        }
    }
}
