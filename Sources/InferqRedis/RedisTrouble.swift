/// Why Redis is away, from the beginning of an outage to its end: which reasons are worth a line in the log.
struct RedisTrouble: Sendable {
    enum News: Sendable, Equatable {
        case began(RedisError)
        /// What the log has said first is no longer the reason.
        case changed(RedisError)
        case over
    }

    private(set) var newest: RedisError?
    private var told: RedisError?

    /// One more look has failed.
    mutating func met(_ error: RedisError) -> News? {
        let before = newest
        newest = error
        guard let told else {
            self.told = error
            return .began(error)
        }
        // A server that is killed and comes back is refused, reset and loading one after another: that is one outage. An
        // error reply that is given twice is there to stay until somebody looks.
        guard case .refused(let text) = error, !text.hasPrefix("LOADING"), error.kind == before?.kind,
            error.kind != told.kind
        else { return nil }
        self.told = error
        return .changed(error)
    }

    /// Redis is there again.
    mutating func ended() -> News? {
        defer {
            newest = nil
            told = nil
        }
        return told == nil ? nil : .over
    }
}

extension RedisError {
    /// The same for errors that differ in details only: the first word of an error reply is its code.
    fileprivate var kind: String {
        switch self {
        case .unreachable: "unreachable"
        case .broken: "broken"
        case .hung: "hung"
        case .refused(let text): "refused \(text.prefix { $0 != " " })"
        case .unexpected(let command): "unexpected \(command)"
        }
    }
}
