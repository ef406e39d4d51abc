/// One error frame of ours, for the client of a stream that broke.
package enum StreamErrorFrame {
    /// The frame in the form that the clients of a path read; to be put in where a frame ends.
    ///
    /// - Parameters:
    ///   - path: below the model server's root; a query does not matter.
    ///   - code: our stable code.
    ///   - message: one sentence for people.
    /// - Returns: nil where no frame can be put in: in a stream without frames, or of a dialect that is not known.
    package static func bytes(
        _ dialect: Dialect,
        path: String,
        framing: StreamFraming,
        code: String,
        message: String
    ) -> [UInt8]? {
        guard dialect != .none else { return nil }
        var writer = JSONWriter(capacity: 256)
        writer.beginObject()
        guard framing == .events else {
            guard framing == .lines else { return nil }
            writer.text(message)
            return writer.bytes + [0x0A]
        }
        switch EndMark(dialect, path: path, framing: framing) {
        case .done:
            writer.openAI(code: code, message: message)
            return event(nil, writer.bytes) + Array("data: [DONE]\n\n".utf8)
        case .responses:
            writer.responses(code: code, message: message)
            return event("error", writer.bytes)
        case .message:
            writer.anthropic(message)
            return event("error", writer.bytes)
        case .ollama, .llama, .generated, .none:
            writer.text(message)
            return event(nil, writer.bytes)
        }
    }

    private static func event(_ name: String?, _ data: [UInt8]) -> [UInt8] {
        Array((name.map { "event: \($0)\n" } ?? "").utf8) + Array("data: ".utf8) + data + Array("\n\n".utf8)
    }
}

extension JSONWriter {
    /// What all of these do is to end the object, which has begun.
    fileprivate mutating func text(_ message: String) {
        name("error")
        value(message)
        endObject()
    }

    fileprivate mutating func openAI(code: String, message: String) {
        name("error")
        beginObject()
        name("message")
        value(message)
        name("type")
        value("server_error")
        name("param")
        null()
        name("code")
        value(code)
        endObject()
        endObject()
    }

    /// Without a `sequence_number`: how many events there were is not known here, and clients do without.
    fileprivate mutating func responses(code: String, message: String) {
        name("type")
        value("error")
        name("code")
        value(code)
        name("message")
        value(message)
        name("param")
        null()
        endObject()
    }

    fileprivate mutating func anthropic(_ message: String) {
        name("type")
        value("error")
        name("error")
        beginObject()
        name("type")
        value("api_error")
        name("message")
        value(message)
        endObject()
        endObject()
    }
}
