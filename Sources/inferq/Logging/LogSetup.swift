import Logging
import Synchronization

/// Sets the log up once, as soon as somebody knows how it shall look; later only its level changes.
final class LogSetup: Sendable {
    let writer = LogWriter()
    private let environment: [String: String]
    private let threshold = Mutex<LogThreshold?>(nil)

    init(environment: [String: String]) {
        self.environment = environment
    }

    /// Says one sentence on standard error, in the order of the log and without waiting for its reader.
    func say(_ sentence: String) {
        writer.write(.line(sentence))
    }

    /// - Returns: the level that all loggers share.
    @discardableResult
    func start(format: LogFormat, level: Logger.Level) -> LogThreshold {
        threshold.withLock { threshold in
            if let threshold {
                threshold.level = level
                return threshold
            }
            let new = LogOutput.bootstrap(format: format, level: level, environment: environment, writer: writer)
            threshold = new
            return new
        }
    }
}
