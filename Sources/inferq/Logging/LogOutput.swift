import Glibc
import Logging

/// How log lines look, and so where they go.
enum LogFormat: String, Sendable, CaseIterable {
    /// The journal under systemd, text on a terminal, else JSON.
    case auto, journal, text, json
}

/// Chooses how this process logs.
enum LogOutput {
    /// Sets up swift-log for the whole process; call it once, before the first logger is made.
    ///
    /// - Parameter journal: Sends one entry to systemd's journal.
    /// - Returns: The level that all loggers share, to be changed at run time.
    @discardableResult
    static func bootstrap(
        format: LogFormat,
        level: Logger.Level,
        environment: [String: String],
        journal: @escaping @Sendable (JournalEntry) -> Void
    ) -> LogThreshold {
        let threshold = LogThreshold(level)
        let error = ErrorOutput.current
        let format = resolve(format, environment: environment, error: error)
        let isColoured = error.isTerminal && environment["NO_COLOR", default: ""].isEmpty
        LoggingSystem.bootstrap(
            { _, provider in
                let context = LogContext(threshold: threshold, provider: provider)
                switch format {
                case .auto, .json: return JSONLogHandler(context)
                case .text: return TextLogHandler(context, isColoured: isColoured)
                case .journal: return JournalLogHandler(context, send: journal)
                }
            },
            metadataProvider: nil
        )
        return threshold
    }

    /// The format that `auto` stands for here; every other one stands for itself.
    static func resolve(_ format: LogFormat, environment: [String: String], error: ErrorOutput) -> LogFormat {
        guard format == .auto else { return format }
        // Children inherit JOURNAL_STREAM and may write elsewhere: systemd.exec(5) says to compare.
        let stream = environment["JOURNAL_STREAM", default: ""]
        if !stream.isEmpty && stream == error.identity { return .journal }
        return error.isTerminal ? .text : .json
    }
}

/// What standard error is.
struct ErrorOutput: Sendable {
    var isTerminal: Bool
    /// Device and inode as JOURNAL_STREAM has them, `8:1234`; empty if standard error is closed.
    var identity: String

    static var current: ErrorOutput {
        var status = stat()
        let isOpen = fstat(STDERR_FILENO, &status) == 0
        return ErrorOutput(
            isTerminal: isatty(STDERR_FILENO) == 1,
            identity: isOpen ? "\(status.st_dev):\(status.st_ino)" : ""
        )
    }
}
