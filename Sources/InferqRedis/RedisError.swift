/// Why Redis cannot be used at this moment. Each description is short and without secrets.
package enum RedisError: Error, Sendable, Equatable, CustomStringConvertible {
    case unreachable(String)
    case broken(String)
    /// It accepts commands and answers none in time.
    case hung
    /// The text of its error reply.
    case refused(String)
    case unexpected(String)

    /// Characters of an error reply that are shown: a script's can be of any length.
    private static let longest = 200

    package var description: String {
        switch self {
        case .unreachable(let reason): "no connection: \(reason)"
        case .broken(let reason): "the connection broke: \(reason)"
        case .hung: "it does not answer"
        case .refused(let text): "it refuses: \(String(text.map { $0.isNewline ? " " : $0 }.prefix(Self.longest)))"
        case .unexpected(let command): "an answer to \(command) that Redis never gives"
        }
    }
}
