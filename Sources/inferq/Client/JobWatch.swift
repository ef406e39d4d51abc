import InferqCore
import NIOHTTP1

/// Follows the events of one job to its end, over broken connections and restarts of the gateway.
struct JobWatch {
    /// Whether a gateway that is not there at first is one to wait for.
    enum FirstContact {
        case stillToCome
        /// This gateway has answered before.
        case made
    }

    let client: GatewayClient
    let eventID: String
    let firstContact: FirstContact
    /// Whether the events that bring parts of the answer are given, too.
    var withOutput = false

    /// Gives every event to `hear`, once and in order, until the job has ended.
    ///
    /// - Parameter complain: Is told once per outage why the events pause, when the first try to come back has failed.
    /// - Returns: The final event.
    /// - Throws: ``ClientError``: an answer that no waiting changes (404, 410), a gateway that stays away for
    ///   ``Outage/patience``, or what `hear` threw.
    func follow(_ hear: (WatchedEvent) async throws -> Void, complain: (String) -> Void) async throws -> WatchedEvent {
        var stream = EventParser()
        var outage = Outage()
        var isContacted = firstContact == .made
        while true {
            var reason: ClientError?
            var isHeard = true
            do {
                let last = try await listen(&stream) { event in
                    outage.end()
                    isHeard = false
                    try await hear(event)
                    isHeard = true
                } opened: {
                    isContacted = true
                }
                if let last { return last }
            } catch let error as ClientError where error.isTemporary && isHeard {
                if !isContacted, error.status == nil { throw error }
                reason = error
            }
            try await wait(&outage, stream.retry, reason, complain)
        }
    }

    /// Tries a request again while the gateway is away.
    func patiently<Result>(
        complain: (String) -> Void,
        _ request: () async throws -> Result
    ) async throws -> Result {
        var outage = Outage()
        while true {
            do {
                return try await request()
            } catch let error as ClientError where error.isTemporary {
                try await wait(&outage, nil, error, complain)
            }
        }
    }

    /// One connection: nil if it ended before the job did.
    private func listen(
        _ stream: inout EventParser,
        _ hear: (WatchedEvent) async throws -> Void,
        opened: () -> Void
    ) async throws -> WatchedEvent? {
        stream.restart()
        var headers: HTTPHeaders = ["Accept": "text/event-stream"]
        if !stream.lastEventID.isEmpty { headers.add(name: "Last-Event-ID", value: stream.lastEventID) }
        let answer = try await client.get(
            "/v1/async/notify/\(eventID)\(withOutput ? "?output=true" : "")", headers: headers)
        guard answer.status != 204 else {
            throw ClientError(.unreadable, "the job has ended, but the gateway does not give its final event")
        }
        guard answer.contentType.lowercased().hasPrefix("text/event-stream") else {
            let sentence = "what answers at \(client.address) is no inferq gateway; name another with --url"
            throw ClientError(.unreadable, sentence)
        }
        opened()
        var last: WatchedEvent?
        var parser = stream
        defer { stream = parser }
        try await client.read(answer) { chunk in
            let events: [EventParser.Event]
            do {
                events = try parser.push(chunk)
            } catch {
                throw ClientError(.unreadable, "the gateway sent an event that is too long to be one of its own")
            }
            for event in events {
                let event = try WatchedEvent(event)
                try await hear(event)
                if event.isLast { last = event }
            }
            return last == nil
        }
        return last
    }

    private func wait(
        _ outage: inout Outage,
        _ retry: Duration?,
        _ reason: ClientError?,
        _ complain: (String) -> Void
    ) async throws {
        var retryAfter: Duration?
        if case .refused(_, let asked) = reason?.cause { retryAfter = asked }
        guard let pause = outage.nextPause(after: retry, retryAfter: retryAfter, now: .now) else {
            throw reason ?? ClientError(.broken, "the gateway at \(client.address) ends every stream at once")
        }
        // The first failure may be a restart, over which nobody needs to hear anything.
        if outage.failures == 2, let reason { complain("\(reason.sentence); still trying") }
        try await Task.sleep(for: pause)
    }
}
