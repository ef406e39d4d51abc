import HTTPTypes
package import InferqCore
package import Logging

/// Who makes a request: decided once, before it is routed. The keys are in files of root's, so it works without the store.
package final class AccessControl: Sendable {
    private let rules: Live<AccessPolicy>
    private let key: SigningKey
    private let failures = FailureTable()
    /// For the log alone: an expired key is no guess.
    private let expired = FailureTable()
    let rates = RequestRates()
    private let requests: OpenRequests
    private let logger: Logger
    let usage = ClientUsage()
    let sessions: Sessions
    let metrics = AccessMetrics()

    /// - Parameter key: signs tickets and sessions.
    package init(
        _ settings: AccessSettings, _ ring: KeyRing, key: SigningKey, wheel: TimerWheel, logger: Logger
    ) {
        rules = Live(AccessPolicy(settings, ring))
        self.key = key
        requests = OpenRequests(wheel: wheel)
        sessions = Sessions(key)
        self.logger = logger
    }

    /// Takes over what a reload has brought. Requests end whose key is no longer good, or whose client has no certificate now.
    package func replace(_ settings: AccessSettings, _ ring: KeyRing) {
        rules.current = AccessPolicy(settings, ring)
        // By the rules as they are at each look: they may have been replaced once more.
        requests.review { [rules] caller, connection in
            let rules = rules.current
            // Who had a key may do no less where none is needed.
            guard rules.settings.mode == .keys else { return caller }
            guard let now = Self.right(of: caller, on: connection, rules.ring), now.client == caller.client,
                !now.isExpired(at: .now), now.scopes.isSuperset(of: caller.scopes)
            else { return nil }
            // A ticket or a session ends by itself, but no later than its maker's right, which may end sooner now.
            guard caller.expires != caller.key?.expires else { return now }
            return caller.narrowed(to: .all, until: now.expires ?? .latest)
        }
    }

    /// What this caller may do by the files as they are now; nil: nothing any more.
    private static func right(of caller: Caller, on connection: Connection, _ ring: KeyRing) -> Caller? {
        if let key = caller.key { return ring.caller(with: key.digest) }
        // Tickets and sessions end, and hand on the right of their maker. A certificate counts for its connection.
        return caller.expires == nil ? ring.caller(certified: connection.peerNames) : maker(caller.makerName, ring)
    }

    var needsKeys: Bool { rules.current.settings.mode == .keys }
    /// Whether anyone who comes this way may be a stranger: over the network, where keys are needed.
    func mayBeStrange(_ connection: Connection) -> Bool { needsKeys && !connection.isLocal }
    var sessionLength: Duration { rules.current.settings.session }
    /// For whom a batch's lines are submitted: with what its client may do now; nil: there is no longer such a client.
    func batchCaller(_ client: String) -> Caller? {
        guard needsKeys, !ClientName.reserved.contains(client) else {
            return Caller(client, .submit, Caller.anonymous.limits)
        }
        return clients.first { $0.name == client }.map { Caller(client, .submit, $0.limits) }
    }

    /// By name.
    var clients: [Client] { rules.current.ring.clients }

    // MARK: One request

    /// - Parameter needs: of the route; nil: none was found, which a stranger does not hear.
    /// - Throws: 400, 401 or 429.
    func caller(of request: Request, on connection: Connection, _ needs: RouteNeeds?) throws(APIError) -> Caller {
        let rules = rules.current
        switch connection.origin {
        case .local, .admin:
            let holder = connection.origin == .admin ? Caller.admin : .local
            let caller = rules.settings.mode == .open ? Caller.anonymous : holder
            usage.note(caller.client)
            return caller
        case .network where rules.settings.mode == .open:
            usage.note(ClientName.anonymous)
            // The mode may change while it is answered.
            requests.begin(.anonymous, connection)
            return .anonymous
        case .network(let address):
            if case .nothing? = needs { return .stranger }
            let caller = try remote(request, connection, address, rules, needs)
            if let rate = caller.limits.rate, let pause = rates.take(caller.client, rate) {
                metrics.count(.rateLimited)
                throw .rateLimited(rate, pause: pause)
            }
            usage.note(caller.client)
            if caller !== Caller.worker { requests.begin(caller, connection) }
            return caller
        }
    }

    /// A request that ``caller(of:on:_:)`` has let in is answered.
    func ended(_ connection: Connection) {
        requests.end(connection)
    }

    private func remote(
        _ request: Request, _ connection: Connection, _ address: String?, _ rules: AccessPolicy, _ needs: RouteNeeds?
    ) throws(APIError) -> Caller {
        if let holder = try keyHolder(request.headers, address, rules) { return holder }
        if needs?.takesToken == true, isWorker(request) { return .worker }
        if needs?.takesTicket == true, let text = request.ticket {
            return try ticketHolder(text, request, address, rules)
        }
        // No one signs in by a socket: such a cookie can only be made by someone who has the store's secret.
        if let session = sessions.find(request, isSecure: connection.isSecure, rules.ring),
            let maker = Self.maker(session.maker, rules.ring), maker !== Caller.local, maker !== Caller.admin
        {
            return maker.narrowed(to: .all, until: session.expires, session: session.subject)
        }
        if let certified = rules.ring.caller(certified: connection.peerNames) { return certified }
        throw refused(.keyMissing, address, rules)
    }

    private func keyHolder(
        _ headers: HTTPFields, _ address: String?, _ rules: AccessPolicy
    ) throws(APIError) -> Caller? {
        do {
            return try rules.holder(headers)
        } catch {
            throw error.status == .unauthorized ? refused(error.code, address, rules) : error
        }
    }

    /// Whether the request shows the token of an attempt of the job in its path. It is that worker's right to the job's input.
    private func isWorker(_ request: Request) -> Bool {
        guard let token = request.notifyToken(key) else { return false }
        return request.path.split(separator: "/").dropFirst(2).first.flatMap { UUIDv7($0) }?.key == token.job
    }

    private func refused(_ code: ProblemCode, _ address: String?, _ rules: AccessPolicy) -> APIError {
        metrics.count(code)
        if code == .keyExpired, expired.add(address, rules.settings.failures).isToBeTold {
            tell("an expired key was refused", address)
        }
        guard code == .keyInvalid else { return .noRight(code) }
        let verdict = failures.add(address, rules.settings.failures)
        if verdict.isToBeTold { tell("a wrong key was refused", address) }
        guard let pause = verdict.pause else { return .noRight(code) }
        metrics.count(.tooManyFailures)
        return .tooManyFailures(pause: pause)
    }

    private func tell(_ refusal: String, _ address: String?) {
        // In the message too: what bans addresses (examples/fail2ban) reads no fields of the journal.
        let remote = address ?? "unknown"
        logger.notice("\(refusal) from \(remote)", metadata: ["remote": "\(remote)"])
    }

    // MARK: Sessions

    /// A key that was sent to sign in with.
    ///
    /// - Throws: 401 or 429.
    func signIn(_ text: String, _ connection: Connection) throws(APIError) -> Caller {
        guard case .network(let address) = connection.origin else { return .stranger }
        let rules = rules.current
        guard let caller = try keyHolder([.xAPIKey: text], address, rules) else {
            throw refused(.keyMissing, address, rules)
        }
        return caller
    }

    /// Ends the session of a request, if it has one, and within a second the streams that are open under it.
    func signOut(_ request: Request, isSecure: Bool) {
        guard let session = sessions.end(request, isSecure: isSecure, rules.current.ring) else { return }
        requests.review { caller, _ in caller.session == session ? nil : caller }
    }

    // MARK: Tickets

    /// What lets anyone who has it hear the events of one job.
    ///
    /// - Returns: with its end, which is that of the caller's own right at the latest.
    func ticket(for eventID: UUIDv7, by caller: Caller, lasting life: Duration) -> (text: String, expires: Timestamp) {
        let expires = min(.now + life, caller.expires ?? .latest)
        let ticket = SignedText(maker: caller.makerName, expires: expires, subject: eventID.description)
        return (ticket.text(.ticket, key, salt: KeyRing.salt(of: caller)), expires)
    }

    private func ticketHolder(
        _ text: String, _ request: Request, _ address: String?, _ rules: AccessPolicy
    ) throws(APIError) -> Caller {
        guard let ticket = SignedText(text, .ticket, key, salt: rules.ring.salt),
            let maker = Self.maker(ticket.maker, rules.ring),
            request.path.split(separator: "/").last.map(String.init) == ticket.subject,
            !maker.scopes.isDisjoint(with: [.read, .readAll])
        else { throw refused(.keyInvalid, address, rules) }
        guard ticket.expires > .now, !maker.isExpired(at: .now) else { throw refused(.keyExpired, address, rules) }
        return maker.narrowed(to: [.read, .readAll], until: ticket.expires)
    }

    // MARK: Makers

    /// Whose right a ticket or a session hands on, as it is now; nil when there is none left.
    private static func maker(_ name: String, _ ring: KeyRing) -> Caller? {
        guard name.first == "~" else {
            guard let caller = ring.caller(withKey: name), !caller.isExpired(at: .now) else { return nil }
            return caller
        }
        let client = String(name.dropFirst())
        switch client {
        case ClientName.local: return .local
        case ClientName.admin: return .admin
        default:
            return ring.clients.first { $0.name == client }?.certificate.flatMap { ring.caller(certified: [$0]) }
        }
    }
}

/// Requests that were refused, by reason.
struct AccessMetrics: Sendable {
    static let reasons: [ProblemCode] = [
        .keyMissing, .keyInvalid, .keyExpired, .scopeMissing, .rateLimited, .tooManyFailures,
    ]

    private let counters = reasons.map { _ in Counter() }

    func count(_ code: ProblemCode) {
        if let index = Self.reasons.firstIndex(of: code) { counters[index].add() }
    }

    func value(_ code: ProblemCode) -> Int {
        Self.reasons.firstIndex(of: code).map { counters[$0].value } ?? 0
    }
}

extension Request {
    /// The token of an attempt; nil for one that this gateway has not made.
    func notifyToken(_ key: SigningKey) -> NotifyToken? {
        headers[.notifyToken].flatMap { NotifyToken($0, key) }
    }

    /// The item `ticket` of the query.
    fileprivate var ticket: String? {
        guard let query, query.contains("ticket=") else { return nil }
        return try? Query(query).single("ticket")
    }
}
