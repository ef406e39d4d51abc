import InferqCore

/// What a gateway sends to a worker, through the worker's stream.
enum GatewayMessage: String, Sendable {
    /// RUNNING is on disk: call the model server.
    case go
    /// The job was taken by another worker, or is no longer due.
    case no
    /// The attempt is over: drop the call, and what has become of it.
    case stop
    /// What was brought is stored, or came too late: forget it.
    case done

    func command(_ keys: RedisKeys, _ name: AttemptName, worker: String) -> RedisCommand {
        RedisCommand(
            "XADD", keys.inbox(ofWorker: worker), "MAXLEN", "~", String(Self.inboxLimit), "*", "word", rawValue,
            "gateway", name.gateway, "job", name.job.description, "lease", String(name.lease.number)
        )
    }

    /// Nil for what no gateway of this version has written.
    static func read(_ entry: StreamEntry) -> (message: GatewayMessage, name: AttemptName)? {
        guard let message = entry.text("word").flatMap(GatewayMessage.init),
            let gateway = entry.text("gateway"), InstanceID(gateway) != nil,
            let name = AttemptName(entry, gateway: gateway)
        else { return nil }
        return (message, name)
    }

    /// Messages that may wait for one worker: many times the slots that one has. What is cut off, its worker asks for again.
    private static let inboxLimit = 10_000
}
