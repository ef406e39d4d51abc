import InferqCore
import Logging

/// A JSON object a line: `time`, `level`, `message`, then the metadata as members.
struct JSONLogHandler: ContextLogHandler {
    var context: LogContext
    private let now: @Sendable () -> Timestamp
    private let write: @Sendable (String) -> Void

    init(
        _ context: LogContext,
        now: @escaping @Sendable () -> Timestamp = { .now },
        write: @escaping @Sendable (String) -> Void
    ) {
        self.context = context
        self.now = now
        self.write = write
    }

    func log(event: LogEvent) {
        write(line(of: event))
    }

    func line(of event: LogEvent) -> String {
        var line = "{\"time\":\"\(now().rfc3339)\",\"level\":\"\(event.level.rawValue)\""
        line += ",\"message\":\(Self.json(event.message.description))"
        for (key, value) in context.fields(of: event) {
            // A member given twice is read differently by different programs.
            let name = ["time", "level", "message"].contains(key) ? key + "_" : key
            line += ",\(Self.json(name)):\(Self.json(value))"
        }
        return line + "}"
    }

    /// Metadata as JSON: whole numbers and truth values stay what they are, all else becomes text.
    static func json(_ value: Logger.MetadataValue) -> String {
        switch value {
        case .string(let text): json(text)
        case .stringConvertible(let number as any FixedWidthInteger): number.description
        case .stringConvertible(let flag as Bool): flag.description
        case .stringConvertible(let number as Double) where number.isFinite: number.description
        case .stringConvertible(let other): json(other.description)
        case .array(let values): "[" + values.map { json($0) }.joined(separator: ",") + "]"
        case .dictionary(let members):
            "{"
                + members.sorted { $0.key < $1.key }.map { "\(json($0.key)):\(json($0.value))" }.joined(separator: ",")
                + "}"
        }
    }

    /// A JSON string without anything that ends a line in any reader; cut after 4,096 characters.
    private static func json(_ text: String) -> String {
        var result = "\""
        for (count, scalar) in text.unicodeScalars.enumerated() {
            if count == 4096 {
                result += "…"
                break
            }
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case _ where scalar.isInvisible: result += scalar.escape
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
