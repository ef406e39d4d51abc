/// What a worker says to gateways.
struct WorkerOutbox: Sendable {
    let link: RedisLink
    let refusals: RedisRefusals

    /// Seconds for which what was said waits for its gateway: a week, as long as ended jobs are kept by default.
    private static let inboxLifetime = "604800"

    /// - Returns: false when Redis is away.
    @discardableResult
    func send(_ message: WorkerMessage, _ name: AttemptName) -> Bool {
        let inbox = link.keys.inbox(ofGateway: name.gateway)
        let isSent = link.send(message.command(link.keys, name, worker: link.id), blame: .key) { reply in
            if case .error = reply { refusals.note(.key, at: inbox) }
        }
        guard isSent else { return false }
        switch message {
        case .take, .giveBack, .shown: return true
        case .answered, .failed, .refused, .interrupted:
            // For a gateway that never comes back.
            return link.send(RedisCommand("EXPIRE", inbox, Self.inboxLifetime))
        }
    }
}
