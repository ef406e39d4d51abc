/// Prints the answer of a job on standard output, whole or while it comes.
final class OutputPrinter {
    /// What is printed of an answer.
    enum Form {
        /// Its text: of a stream of a model server what its deltas say.
        case text
        /// Its bytes.
        case raw
    }

    let form: Form
    private let isOnTerminal: Bool
    private let write: ([UInt8]) throws -> Void
    private var text: AnswerText?
    private var screen: TerminalText?
    private var isAtLineStart = true

    /// The attempt whose answer was begun last.
    private(set) var attempt: Int?
    /// Bytes that were written.
    private(set) var byteCount = 0

    /// - Parameter isOnTerminal: whether what a terminal takes for a command must not be written as it is.
    init(
        _ form: Form,
        isOnTerminal: Bool = StandardOutput.isTerminal,
        write: @escaping ([UInt8]) throws -> Void = { try StandardOutput.write($0) }
    ) {
        self.form = form
        self.isOnTerminal = isOnTerminal
        self.write = write
    }

    /// Whether an answer is printed while it comes. Of a text a reader has something before its end; anything else, of
    /// which an attempt that fails would leave a useless half, is printed once it is whole.
    func printsAsItComes(_ head: AnswerType) -> Bool {
        form == .raw || !head.isEncoded && ContentType.isReadAsItComes(head.contentType)
    }

    /// Whether a terminal shows what is printed, so that it must be text.
    var isForScreen: Bool { isOnTerminal && form == .text }

    /// Begins with the answer to an attempt.
    func begin(_ attempt: Int, _ head: AnswerType) throws {
        self.attempt = attempt
        if form == .text, byteCount > 0 { try breakLine() }
        text = form == .text && !head.isEncoded ? AnswerText(contentType: head.contentType) : nil
        screen = isForScreen ? TerminalText() : nil
    }

    /// The next bytes of the answer.
    func take(_ bytes: [UInt8]) throws {
        try put(text?.push(bytes) ?? bytes)
    }

    /// Ends the answer that was begun.
    func end() throws {
        try put(text?.end() ?? [])
        try put(screen?.end() ?? [], isEscaped: true)
        text = nil
        screen = nil
        try breakScreenLine()
    }

    /// Begins a new line if the last one has not ended.
    private func breakLine() throws {
        guard !isAtLineStart else { return }
        try put([UInt8(ascii: "\n")], isEscaped: true)
    }

    /// Begins a new line on a terminal, for what others write on it.
    func breakScreenLine() throws {
        if isOnTerminal { try breakLine() }
    }

    private func put(_ bytes: [UInt8], isEscaped: Bool = false) throws {
        let bytes = isEscaped ? bytes : screen?.push(bytes) ?? bytes
        guard let last = bytes.last else { return }
        try write(bytes)
        byteCount += bytes.count
        isAtLineStart = last == UInt8(ascii: "\n")
    }
}

/// What the head of an answer says of its bytes.
struct AnswerType {
    /// Empty if it names none.
    var contentType: String
    var encoding: String?

    var isEncoded: Bool { encoding != nil }

    /// Why a terminal cannot show it; nil if it can.
    var obstacle: String? {
        if !ContentType.isText(contentType) { return "the output is \(contentType.quoted()), which is not text" }
        return encoding.map { "the output is encoded (\($0.quoted())), which is not text" }
    }
}

extension GatewayClient.Answer {
    var type: AnswerType {
        AnswerType(contentType: contentType, encoding: headers.first(name: "Content-Encoding"))
    }
}
