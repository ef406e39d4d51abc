import InferqCore
import InferqQueue
import Logging

/// What was found in Redis and is not taken: another program's, or another version's. It is counted, and said once.
final class RedisRefusals: Sendable {
    private let logger: Logger
    private let peers: Peers?
    /// The same key is read again every second.
    private let throttle = LogThrottle(limit: 1, period: .seconds(3600))

    /// - Parameter peers: counts them for `/metrics`; nil in a worker, which has no such page.
    init(logger: Logger, peers: Peers? = nil) {
        self.logger = logger
        self.peers = peers
    }

    /// - Parameter key: where it was found.
    func note(_ what: Peers.ForeignData, at key: String) {
        peers?.count(refused: what)
        let place: Logger.Metadata = ["key": "\(key.prefix(PlainText.limit))"]
        switch what {
        case .message:
            throttle.log(
                logger, .error, "a worker sent something that this version does not understand", metadata: place)
        case .offer:
            throttle.log(
                logger, .error, "a gateway offers something that this version does not understand", metadata: place)
        case .heartbeat:
            throttle.log(
                logger, .warning, "a heartbeat in redis is not understood: its sender counts as absent", metadata: place
            )
        case .key:
            throttle.log(logger, .warning, "a redis key holds something that inferq does not write", metadata: place)
        }
    }
}
