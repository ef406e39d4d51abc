/// How the bytes of a stream are framed, by the answer's type.
package enum StreamFraming: Sendable {
    /// `text/event-stream`: a frame ends with a blank line.
    case events
    /// `application/x-ndjson` and `application/jsonl`: each line is a frame.
    case lines
    /// Bytes that inferq does not look into.
    case none

    /// Nil: the type is none of a stream.
    ///
    /// - Parameter essence: the type without its parameters, in lower case.
    package init?(essence: String) {
        switch essence {
        case "text/event-stream": self = .events
        case "application/x-ndjson", "application/jsonl": self = .lines
        default: return nil
        }
    }
}
