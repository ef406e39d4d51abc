import Logging

/// Fields of one entry of systemd's journal, in the order in which they are sent.
typealias JournalEntry = [(name: String, value: String)]

/// Fields for systemd's journal: MESSAGE, PRIORITY, and metadata such as `job_id` as INFERQ_JOB_ID.
struct JournalLogHandler: ContextLogHandler {
    var context: LogContext
    private let send: @Sendable (JournalEntry) -> Void

    init(_ context: LogContext, send: @escaping @Sendable (JournalEntry) -> Void) {
        self.context = context
        self.send = send
    }

    func log(event: LogEvent) {
        send(entry(of: event))
    }

    func entry(of event: LogEvent) -> JournalEntry {
        var entry: JournalEntry = [
            ("MESSAGE", event.message.description),
            ("PRIORITY", Self.priority(of: event.level)),
        ]
        if let id = MessageCatalog.id(of: event.message.description) { entry.append(("MESSAGE_ID", id)) }
        for (key, value) in context.fields(of: event) {
            Self.append("INFERQ_" + Self.fieldName(key), value, to: &entry)
        }
        return entry
    }

    private static func append(_ name: String, _ value: Logger.MetadataValue, to entry: inout JournalEntry) {
        switch value {
        case .dictionary(let members):
            for (key, value) in members.sorted(by: { $0.key < $1.key }) {
                append("\(name)_\(fieldName(key))", value, to: &entry)
            }
        case .array: entry.append((limited(name), JSONLogHandler.json(value)))
        case .string, .stringConvertible: entry.append((limited(name), value.description))
        }
    }

    /// Upper case, and an underscore for everything that the journal does not take in a name.
    private static func fieldName(_ key: String) -> String {
        String(decoding: key.uppercased().utf8.map { $0.isLetterOrDigit ? $0 : UInt8(ascii: "_") }, as: UTF8.self)
    }

    /// The journal drops fields with names over 64 bytes.
    private static func limited(_ name: String) -> String {
        String(name.prefix(64))
    }

    /// The levels of syslog(3).
    private static func priority(of level: Logger.Level) -> String {
        switch level {
        case .trace, .debug: "7"
        case .info: "6"
        case .notice: "5"
        case .warning: "4"
        case .error: "3"
        case .critical: "2"
        }
    }
}
