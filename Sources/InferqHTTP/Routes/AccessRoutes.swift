import HTTPTypes
import InferqCore
import InferqQueue
import InferqStore
import NIOCore

/// What clients ask of their own right: `/v1/me`, `/v1/session` and tickets; and `/v1/clients`, for operators.
struct AccessRoutes: Sendable {
    let gateway: Gateway

    // MARK: Who is who

    @Sendable func me(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try request.checkAccepts("application/json")
        try Query(request.query).allowOnly([])
        let caller = context.caller
        let figures = gateway.queue.clientFigures()[caller.client] ?? ClientFigures()
        var writer = JSONWriter()
        writer.beginObject()
        write(caller, until: caller.expires, to: &writer)
        writer.name("key_id")
        writer.value(caller.key?.id)
        writer.name("limits")
        writer.beginObject()
        writer.name("models")
        writer.value(caller.limits.models)
        writer.name("max_priority")
        writer.value(caller.limits.maxPriority)
        writer.name("max_pending")
        writer.value(caller.limits.maxPending)
        writer.name("max_running")
        writer.value(caller.limits.maxRunning)
        writer.name("rate")
        writer.value(caller.limits.rate?.text ?? "")
        writer.endObject()
        writer.name("use")
        writer.beginObject()
        writer.name("pending")
        writer.value(figures.pending)
        writer.name("running")
        writer.value(figures.running)
        writer.name("requests_left")
        writer.value(caller.limits.rate.map { gateway.access.rates.left(of: caller.client) ?? $0.count })
        writeToday(of: caller.client, to: &writer)
        writer.endObject()
        writer.endObject()
        return .json(writer.bytes)
    }

    /// Those that have a key, and those that have jobs or were seen without one.
    @Sendable func clients(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try request.checkAccepts("application/json")
        try Query(request.query).allowOnly([])
        let figures = gateway.queue.clientFigures()
        let names = Set(gateway.access.clients.map(\.name)).union(figures.keys).union(gateway.access.usage.names)
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("results")
        writer.beginArray()
        for name in names.sorted() {
            writer.beginObject()
            writer.name("name")
            writer.value(name)
            writer.name("pending")
            writer.value(figures[name]?.pending ?? 0)
            writer.name("running")
            writer.value(figures[name]?.running ?? 0)
            writer.name("last_seen")
            writer.value(gateway.access.usage.figures(of: name)?.lastSeen)
            writer.name("usage")
            writer.beginObject()
            writeToday(of: name, to: &writer)
            writer.endObject()
            writer.endObject()
        }
        writer.endArray()
        writer.endObject()
        return .json(writer.bytes)
    }

    private func write(_ caller: Caller, until expires: Timestamp?, to writer: inout JSONWriter) {
        writer.name("client")
        writer.value(caller.client)
        writer.name("scopes")
        writer.value(caller.scopes.names)
        writer.name("expires_at")
        writer.value(expires)
    }

    private func writeToday(of client: String, to writer: inout JSONWriter) {
        let figures = gateway.access.usage.figures(of: client)
        writer.name("requests_today")
        writer.value(figures?.requests ?? 0)
        writer.name("submits_today")
        writer.value(figures?.submits ?? 0)
    }

    // MARK: Tickets

    /// The longest life of a ticket: it may stand in logs of proxies and in a browser's history.
    private static let longestTicket = Duration.seconds(24 * 3600)
    private static let usualTicket = Duration.seconds(3600)

    @Sendable func ticket(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let id = try context.uuid("id")
        try Query(request.query).allowOnly([])
        let reader = BodyReader(gateway: gateway, context: context)
        try reader.checkHead(request)
        try request.checkAccepts("application/json")
        let life = try await reader.collect(request) { body in try Self.life(in: body) }
        let job = try await gateway.head(id, for: context.caller)
        let (ticket, expires) = gateway.access.ticket(for: job.eventID, by: context.caller, lasting: life)
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("url")
        writer.value("/v1/async/notify/\(job.eventID)?ticket=\(ticket)")
        writer.name("expires_at")
        writer.value(expires)
        writer.endObject()
        return .json(writer.bytes, status: .created)
    }

    private static func life(in body: [UInt8]) throws(APIError) -> Duration {
        guard !body.isEmpty else { return usualTicket }
        let object = try BodyObject(body)
        if let other = object.members.first(where: { $0.name != "expires_in" }) {
            throw .invalid(other.name.clipped, "it is not known here; only expires_in is")
        }
        guard let member = try object.single("expires_in") else { return usualTicket }
        let kind = OptionKind<Duration>.duration
        let life = try kind.read(WrittenOption(place: "expires_in", form: .json(member, in: body)))
        guard life > .zero, life <= longestTicket else { throw .invalid("expires_in", "it must be from 1ms to 24h") }
        return life
    }

    // MARK: Sessions

    @Sendable func signIn(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try Query(request.query).allowOnly([])
        let reader = BodyReader(gateway: gateway, context: context)
        guard request.headers[.contentType].flatMap(MediaType.init)?.isJSON == true else { throw APIError.notJSON }
        try reader.checkHead(request)
        try request.checkAccepts("application/json")
        let limit = BodyLimit(byteCount: Self.largestSignIn, setting: "of a sign-in")
        let key = try await reader.collect(request, limit: limit) { body in try Self.key(in: body) }
        // Where no key is needed there is nothing to sign in to.
        guard gateway.access.mayBeStrange(context.connection) else { return welcome(context.caller, nil, nil) }
        let caller = try gateway.access.signIn(key, context.connection)
        let (cookie, expires) = gateway.access.sessions.begin(
            caller, for: gateway.access.sessionLength, isSecure: context.connection.isSecure)
        return welcome(caller, expires, cookie)
    }

    /// Bytes of a body that signs in: a key and a little JSON.
    private static let largestSignIn = 4 << 10

    private func welcome(_ caller: Caller, _ expires: Timestamp?, _ cookie: String?) -> Response {
        var writer = JSONWriter()
        writer.beginObject()
        write(caller, until: expires, to: &writer)
        writer.endObject()
        var headers = HTTPFields()
        headers[.setCookie] = cookie
        return .json(writer.bytes, headers: headers)
    }

    private static func key(in body: [UInt8]) throws(APIError) -> String {
        guard let key = try BodyObject(body).text("key") else { throw .invalid("key", "it is missing") }
        return key
    }

    @Sendable func signOut(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try Query(request.query).allowOnly([])
        let isSecure = context.connection.isSecure
        gateway.access.signOut(request, isSecure: isSecure)
        return Response(status: .noContent, headers: [.setCookie: Sessions.removal(isSecure: isSecure)])
    }
}
