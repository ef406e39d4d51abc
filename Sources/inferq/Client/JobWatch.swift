/// Follows the events of one job to its end, over broken connections and restarts of the gateway.
struct JobWatch {
    let eventID: String
    private let events: EventWatch

    /// - Parameter withOutput: whether the events that bring parts of the answer are given, too.
    init(client: GatewayClient, eventID: String, firstContact: EventWatch.FirstContact, withOutput: Bool = false) {
        self.eventID = eventID
        let query = withOutput ? "?output=true" : ""
        events = EventWatch(client: client, path: "/v1/async/notify/\(eventID)\(query)", firstContact: firstContact)
    }

    var client: GatewayClient { events.client }

    /// Gives every event to `hear`, once and in order, until the job has ended.
    ///
    /// - Parameter complain: As for ``EventWatch/follow(_:complain:)``.
    /// - Returns: The final event.
    /// - Throws: ``ClientError``, as ``EventWatch/follow(_:complain:)`` does.
    func follow(_ hear: (WatchedEvent) async throws -> Void, complain: (String) -> Void) async throws -> WatchedEvent {
        var last: WatchedEvent?
        try await events.follow(
            { event in
                try await hear(event)
                if event.isLast { last = event }
                return last == nil
            }, complain: complain)
        guard let last else { throw CancellationError() }
        return last
    }
}
