import InferqCore
import NIOHTTP1

/// Follows a stream of events over broken connections and restarts of the gateway.
struct EventWatch {
    /// Whether a gateway that cannot be reached at first is one to wait for.
    enum FirstContact {
        case stillToCome
        /// This gateway has answered before.
        case made
    }

    let client: GatewayClient
    /// Of the stream, with its query.
    let path: String
    let firstContact: FirstContact

    /// Gives every event to `hear`, once and in order, until it has heard enough.
    ///
    /// - Parameters:
    ///   - hear: Returns whether it wants more.
    ///   - complain: Is told once per outage why the events pause, when the first try to come back has failed.
    ///   - opened: Is called when the first connection stands: what happens from then on is heard.
    /// - Throws: ``ClientError``: an answer that no waiting changes (404, 410), a gateway that stays away for
    ///   ``Outage/patience``, or what `hear` threw.
    func follow(
        _ hear: (WatchedEvent) async throws -> Bool,
        complain: (String) -> Void,
        opened: () -> Void = {}
    ) async throws {
        var stream = EventParser()
        var outage = Outage()
        var isContacted = firstContact == .made
        var isOpen = false
        while true {
            var reason: ClientError?
            var isHeard = true
            do {
                let wantsMore = try await listen(&stream) { event in
                    outage.end()
                    isHeard = false
                    let wantsMore = try await hear(event)
                    isHeard = true
                    return wantsMore
                } opened: {
                    isContacted = true
                    if !isOpen { opened() }
                    isOpen = true
                }
                if !wantsMore { return }
            } catch let error as ClientError where error.isTemporary && isHeard {
                if !isContacted, error.status == nil { throw error }
                reason = error
            }
            try await client.wait(&outage, stream.retry, reason, complain)
        }
    }

    /// One connection.
    ///
    /// - Returns: Whether it ended before `hear` had heard enough.
    private func listen(
        _ stream: inout EventParser,
        _ hear: (WatchedEvent) async throws -> Bool,
        opened: () -> Void
    ) async throws -> Bool {
        var headers: HTTPHeaders = ["Accept": "text/event-stream"]
        if !stream.lastEventID.isEmpty { headers.add(name: "Last-Event-ID", value: stream.lastEventID) }
        let answer = try await client.get(path, headers: headers)
        guard answer.status != 204 else {
            throw ClientError(.unreadable, "the job has ended, but the gateway does not send its final event")
        }
        guard answer.contentType.lowercased().hasPrefix("text/event-stream") else {
            let sentence = "what answers at \(client.address) is not an inferq gateway; name another with --url"
            throw ClientError(.unreadable, sentence)
        }
        stream.restart(after: answer.headers.first(name: "Last-Event-ID"))
        opened()
        var wantsMore = true
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
                wantsMore = try await hear(try WatchedEvent(event))
                guard wantsMore else { break }
            }
            return wantsMore
        }
        return wantsMore
    }
}

extension GatewayClient {
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

    fileprivate func wait(
        _ outage: inout Outage,
        _ retry: Duration?,
        _ reason: ClientError?,
        _ complain: (String) -> Void
    ) async throws {
        var retryAfter: Duration?
        if case .refused(_, let asked) = reason?.cause { retryAfter = asked }
        guard let pause = outage.nextPause(after: retry, retryAfter: retryAfter, now: .now) else {
            throw reason ?? ClientError(.broken, "the gateway at \(address) ends every stream at once")
        }
        // The first failure may be a restart, over which no one needs to hear anything.
        if outage.failures == 2, let reason { complain("\(reason.sentence); still trying") }
        try await Task.sleep(for: pause)
    }
}
