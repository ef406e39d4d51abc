/// Where Redis is and how patient this process is with it; the configuration's reader has checked it.
package struct RedisSettings: Sendable, Equatable {
    package enum Place: Sendable, Equatable, CustomStringConvertible {
        case tcp(host: String, port: Int)
        case unix(path: String)

        package var description: String {
            switch self {
            case .tcp(let host, let port): "\(host):\(port)"
            case .unix(let path): "unix:\(path)"
            }
        }
    }

    package var place: Place
    /// The user of an ACL; nil: the default user.
    package var user: String?
    /// A secret: never log it.
    package var password: String?
    package var database = 0
    /// Begins every key and channel.
    package var prefix = "inferq"
    package var connectTimeout: Duration = .seconds(1)
    /// How old an unanswered command may become before Redis counts as away.
    package var commandTimeout: Duration = .seconds(1)
    /// Between two looks at a Redis that is away, and after so long a silence one that is there is asked for a PONG.
    package var probeInterval: Duration = .milliseconds(500)
    /// How often a worker, or a gateway, says that it lives.
    package var heartbeat: Duration = .seconds(2)
    /// The age of the last heartbeat at which its sender counts as dead.
    package var deadAfter: Duration = .seconds(10)
    /// How long a worker may take to show itself after Redis was away.
    package var grace: Duration = .seconds(60)

    package init(place: Place) {
        self.place = place
    }
}

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
        case .unexpected(let command): "an answer to \(command) that no Redis gives"
        }
    }
}
