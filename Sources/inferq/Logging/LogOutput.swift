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
    /// - Returns: The level that all loggers share, to be changed at run time.
    @discardableResult
    static func bootstrap(
        format: LogFormat,
        level: Logger.Level,
        environment: [String: String],
        writer: LogWriter
    ) -> LogThreshold {
        let threshold = LogThreshold(level)
        let error = ErrorOutput.current
        let format = resolve(format, environment: environment, error: error)
        let isColored = error.isTerminal && environment["NO_COLOR", default: ""].isEmpty
        let write = { @Sendable (line: String) in writer.write(.line(line)) }
        let text = { @Sendable (context: LogContext) in
            TextLogHandler(context, isColored: isColored, write: write)
        }
        let json = { @Sendable (context: LogContext) in JSONLogHandler(context, write: write) }
        let journal = { @Sendable (context: LogContext) in
            JournalLogHandler(context) { writer.write(.entry($0)) }
        }
        LoggingSystem.bootstrap(
            { _, provider in
                let context = LogContext(threshold: threshold, provider: provider)
                switch format {
                case .auto, .json: return json(context)
                case .text: return text(context)
                case .journal: return journal(context)
                }
            },
            metadataProvider: nil
        )
        writer.tellOfGaps { count in
            let context = LogContext(threshold: threshold)
            let event = gap(of: count)
            switch format {
            case .auto, .json: return .line(json(context).line(of: event))
            case .text: return .line(text(context).line(of: event))
            case .journal: return .entry(journal(context).entry(of: event))
            }
        }
        return threshold
    }

    private static func gap(of count: Int) -> LogEvent {
        LogEvent(
            level: .warning, message: "log lines are missing here: they could not be written in time",
            metadata: ["dropped": .stringConvertible(count)], source: nil, file: #fileID, function: #function,
            line: #line
        )
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
