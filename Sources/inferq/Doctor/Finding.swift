import InferqCore

/// What the doctor found out about one thing.
struct Finding: Sendable, Equatable {
    enum Verdict: String, Sendable {
        case ok
        /// Works, and somebody should know.
        case note
        case wrong

        var color: Table.Color {
            switch self {
            case .ok: .green
            case .note: .yellow
            case .wrong: .red
            }
        }
    }

    var verdict: Verdict
    /// `configuration`, `store`, `model ocr`.
    var subject: String
    /// One sentence without a full stop; of something wrong it says what to do.
    var sentence: String

    /// This long before a key or a certificate ends it is named: tools that renew by themselves do it a month before.
    static let notice: Duration = .seconds(21 * 86_400)

    static func ok(_ subject: String, _ sentence: String) -> Finding {
        Finding(verdict: .ok, subject: subject, sentence: sentence)
    }
    static func note(_ subject: String, _ sentence: String) -> Finding {
        Finding(verdict: .note, subject: subject, sentence: sentence)
    }
    static func wrong(_ subject: String, _ sentence: String) -> Finding {
        Finding(verdict: .wrong, subject: subject, sentence: sentence)
    }

    func write(_ writer: inout JSONWriter) {
        writer.beginObject()
        writer.name("verdict")
        writer.value(verdict.rawValue)
        writer.name("subject")
        writer.value(subject)
        writer.name("sentence")
        writer.value(sentence)
        writer.endObject()
    }
}
