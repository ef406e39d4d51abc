import InferqCore
import Logging

/// A line for people: `2026-11-23T16:31:47.123Z info  job ended attempt=1 job_id=01935f2e-...`.
struct TextLogHandler: ContextLogHandler {
    var context: LogContext
    let isColored: Bool
    private let now: @Sendable () -> Timestamp
    private let write: @Sendable (String) -> Void

    init(
        _ context: LogContext,
        isColored: Bool,
        now: @escaping @Sendable () -> Timestamp = { .now },
        write: @escaping @Sendable (String) -> Void
    ) {
        self.context = context
        self.isColored = isColored
        self.now = now
        self.write = write
    }

    func log(event: LogEvent) {
        write(line(of: event))
    }

    func line(of event: LogEvent) -> String {
        var line = "\(now().rfc3339) \(level(event.level)) \(event.message.description.visible())"
        for (key, value) in context.fields(of: event) {
            Self.append(key, value, to: &line)
        }
        return line
    }

    private func level(_ level: Logger.Level) -> String {
        let name = level.rawValue
        let padded = name + String(repeating: " ", count: max(0, 5 - name.count))
        guard isColored, let color = Self.color(of: level) else { return padded }
        return "\u{1B}[\(color)m\(padded)\u{1B}[0m"
    }

    /// Members of a dictionary get dotted keys of their own; a list is shown as JSON.
    private static func append(_ key: String, _ value: Logger.MetadataValue, to line: inout String) {
        switch value {
        case .dictionary(let members):
            for (name, value) in members.sorted(by: { $0.key < $1.key }) {
                append("\(key).\(name)", value, to: &line)
            }
        case .array:
            line += " \(plain(key))=\(plain(JSONLogHandler.json(value)))"
        case .string, .stringConvertible:
            line += " \(plain(key))=\(plain(value.description))"
        }
    }

    /// The text as it is if nothing in it could be taken for the line's own structure, else in quotation marks.
    private static func plain(_ text: String) -> String {
        let isPlain =
            !text.isEmpty && !text.unicodeScalars.contains { $0.isInvisible || " =\"\\".unicodeScalars.contains($0) }
        if isPlain { return text.visible() }
        let safe = text.replacing("\\", with: "\\\\").visible().replacing("\"", with: "\\\"")
        return "\"\(safe)\""
    }

    private static func color(of level: Logger.Level) -> Int? {
        switch level {
        case .trace, .debug: 2
        case .info: nil
        case .notice: 36
        case .warning: 33
        case .error, .critical: 31
        }
    }
}
