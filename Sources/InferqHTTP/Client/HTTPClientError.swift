import NIOHTTP1

/// How an exchange can fail, beside what the system and TLS say. What the parser says of an answer is among these: its own
/// errors are those of requests that clients of the gateway send.
package enum HTTPClientError: Error {
    /// The URL's scheme is none of `http`, `https` and `http+unix`, or it names no host.
    case unreadableURL
    /// No connection could be made; the reason is what the system, the resolver or TLS says.
    case noConnection(any Error)
    /// A new connection was reset before a byte of an answer; the reason is what the system says.
    case reset(any Error)
    /// The connection was closed before the answer was complete.
    case closedEarly
    /// The connection was closed in the middle of the answer.
    case cutOff
    /// The head of the answer is larger than the parser takes.
    case headTooLarge
    /// The answer is not HTTP.
    case notHTTP
    /// The exchange took longer than it may.
    case timedOut
    /// Nothing came for longer than the client waits.
    case silent
    /// The answer is longer than the caller takes.
    case answerTooLong
    /// A streamed body has more or fewer bytes than were announced.
    case bodyLengthChanged
    /// The certificates of those who sign servers' certificates cannot be read from this file; empty: this host's own.
    case unreadableCA(String)
    /// The client was shut down.
    case shutDown

    init(_ error: HTTPParserError) {
        self =
            switch error {
            case .invalidEOFState: .cutOff
            case .headerOverflow: .headTooLarge
            default: .notHTTP
            }
    }
}
