import HTTPTypes
package import InferqCore
package import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// Holds the endpoints while the gateway itself cannot work: 503 with the reason for all but `/livez`.
///
/// Nothing of a request is looked at but its path, and no connection is used twice: as soon as the gateway can work, it
/// takes the endpoints over.
package final class DegradedServer: Sendable {
    private struct State {
        var reason: String
        var channels: [any Channel] = []
        var open: [ObjectIdentifier: any Channel] = [:]
    }

    private let endpoints: [Endpoint]
    private let version: String
    private let identity: Live<TLSIdentity?>
    private let rules: Live<AccessPolicy?>
    private let group: any EventLoopGroup
    private let state: Mutex<State>

    /// Connections at a time; past it they are closed. There is nothing to be had here, so few are enough.
    private static let connectionLimit = 1024
    /// The longest life of a connection: for a client that sends a large body slowly, or nothing.
    fileprivate static let longestLife = TimeAmount.seconds(30)

    /// - Parameters:
    ///   - reason: one sentence without a full stop, for people, without secrets.
    ///   - identity: while there is none, connections that are to speak TLS are closed.
    ///   - rules: as far as they could be read: where keys are needed, a stranger hears nothing of the reason.
    package init(
        endpoints: [Endpoint],
        reason: String,
        version: String,
        identity: Live<TLSIdentity?> = Live(nil),
        rules: Live<AccessPolicy?> = Live(nil),
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
    ) {
        self.endpoints = endpoints
        self.version = version
        self.identity = identity
        self.rules = rules
        self.group = group
        state = Mutex(State(reason: reason))
    }

    /// What clients are told from now on.
    package var reason: String {
        get { state.withLock { $0.reason } }
        set { state.withLock { $0.reason = newValue } }
    }

    /// Accepts from now on.
    ///
    /// - Throws: ``Endpoint/Unusable``.
    package func start() async throws {
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 4096)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
        for endpoint in endpoints {
            let bootstrap = bootstrap.settingUp { try self.setUp($0, endpoint.role) }
            let channel = try await endpoint.bind(bootstrap)
            state.withLock { $0.channels.append(channel) }
        }
    }

    /// Accepts no more. What was accepted is still answered, on the event loops, for as long as the process lives; the
    /// descriptors stay with their owner.
    package func stop() async throws {
        let channels = state.withLock { state in
            defer { state.channels = [] }
            return state.channels
        }
        // As in ``HTTPServer``: an endpoint is closed only when no accept is in flight.
        for channel in channels { try await channel.setOption(.autoRead, value: false).get() }
        for _ in 0..<2 {
            try await EventLoopFuture.andAllComplete(group.makeIterator().map { $0.submit {} }, on: group.any()).get()
        }
        for channel in channels { try await channel.close().get() }
    }

    /// Returns when what was accepted is answered and the answers are taken, as ``HTTPServer`` does: a connection without
    /// a request has a second to send one that was on its way, and no other holds up the end for longer than 5 s.
    ///
    /// For the end of the process, after ``stop()``.
    package func drain() async {
        let open = state.withLock { Array($0.open.values) }
        for channel in open { channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent()) }
        for channel in open {
            // However it was closed: it is gone.
            try? await channel.closeFuture.get()
        }
    }

    private func setUp(_ channel: any Channel, _ role: Endpoint.Role) throws {
        let count = state.withLock { state in
            state.open[ObjectIdentifier(channel)] = channel
            return state.open.count
        }
        channel.closeFuture.whenComplete { _ in self.state.withLock { $0.open[ObjectIdentifier(channel)] = nil } }
        guard count <= Self.connectionLimit else { return channel.close(promise: nil) }
        if role == .tls {
            guard let identity = identity.current else { return channel.close(promise: nil) }
            try channel.pipeline.syncOperations.addHandler(identity.handler())
        }
        // Without help with pipelines, which would close a connection at a stop before its request has come.
        try channel.pipeline.syncOperations.configureHTTPServerPipeline(withPipeliningAssistance: false)
        try channel.pipeline.syncOperations.addHandler(DegradedAnswers(server: self))
    }

    /// - Parameter isLocal: whether it came over a Unix socket.
    fileprivate func answer(to head: HTTPRequestHead, isLocal: Bool) -> (HTTPResponseHead, ByteBuffer) {
        // The decoder knows no method that is not a token.
        guard let request = Request(head, .whole(ByteBuffer())) else {
            return (HTTPResponseHead(version: .http1_1, status: .badRequest), ByteBuffer())
        }
        let response = response(to: request, isLocal: isLocal)
        let body = if case .bytes(let bytes) = response.body { bytes } else { ByteBuffer() }
        var headers = HTTPHeaders()
        for field in response.headers { headers.add(name: field.name.rawName, value: field.value) }
        headers.add(name: "Content-Length", value: "\(body.readableBytes)")
        headers.replaceOrAdd(name: "Cache-Control", value: "no-store")
        headers.add(name: "Connection", value: "close")
        let status = HTTPResponseStatus(
            statusCode: response.status.code, reasonPhrase: response.status.reasonPhrase)
        return (HTTPResponseHead(version: .http1_1, status: status, headers: headers), body)
    }

    private func response(to request: Request, isLocal: Bool) -> Response {
        let path = request.path
        let isStrange = !isLocal && rules.current?.settings.mode == .keys
        let open = OpenPath(path: path)
        switch open {
        case .live, .healthLive:
            return .json(HealthDocument(isUp: true, version: isStrange ? nil : version).bytes)
        case .ready where isStrange, .healthReady where isStrange:
            return .json(HealthDocument(isUp: false).bytes, status: .serviceUnavailable)
        case .ready, .healthReady, .openAPI, .page, .session, nil: break
        }
        let form = ErrorForm.of(path: path)
        // Where no one needs a key, as when all is well, and for rights that only a gateway with its store can tell: a token
        // is not refused that may be good. Why it cannot work, no stranger hears.
        if isStrange, request.method == .options || open != nil || request.mayHaveOtherRight {
            return form.response(for: .degraded("its operator can see why on its host"), instance: path)
        }
        if isStrange, let rules = rules.current {
            do throws(APIError) {
                guard try rules.holder(request.headers) != nil else { throw .noRight(.keyMissing) }
            } catch {
                return form.response(for: error, instance: path)
            }
        }
        return form.response(for: .degraded(reason), instance: path)
    }
}

extension Request {
    /// Whether it may be let in by something else than a key: the token of an attempt, a ticket, or a session.
    fileprivate var mayHaveOtherRight: Bool {
        guard case .none = Credentials(headers) else { return false }
        return headers[.notifyToken] != nil || headers[.cookie] != nil || query?.contains("ticket=") == true
    }
}

/// Reads one request to its end, so that the answer is not lost in a reset, and answers it.
private final class DegradedAnswers: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private enum Phase {
        /// The head of the request has not come.
        case waiting
        case reading(HTTPRequestHead)
        case answered
    }

    private let server: DegradedServer
    private var phase = Phase.waiting
    private var end: Scheduled<Void>?

    /// For a request that was on its way when the process began to stop, and for a client that does not close after its
    /// answer.
    private static let lastMoment = TimeAmount.seconds(1)
    /// For a body that is on its way then, and an answer that is not read.
    private static let patienceAtStop = TimeAmount.seconds(5)

    init(server: DegradedServer) {
        self.server = server
    }

    func handlerAdded(context: ChannelHandlerContext) {
        close(context, in: DegradedServer.longestLife)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch (phase, unwrapInboundIn(data)) {
        case (.waiting, .head(let head)): phase = .reading(head)
        case (.reading(let head), .end):
            phase = .answered
            answer(head, context)
        // What follows the one request that is answered is thrown away.
        case (.waiting, _), (.reading, _), (.answered, _): break
        }
    }

    private func answer(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        let isLocal = context.channel.parent?.localAddress?.protocol == .unix
        let (answer, body) = server.answer(to: head, isLocal: isLocal)
        context.write(wrapOutboundOut(.head(answer)), promise: nil)
        if head.method != .HEAD { context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil) }
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in
            let (handler, context) = bound.value
            // Our side first: a close with bytes unread would be a reset, which can destroy the answer on its way.
            context.close(mode: .output, promise: nil)
            handler.close(context, in: Self.lastMoment)
        }
    }

    private func close(_ context: ChannelHandlerContext, in time: TimeAmount) {
        let channel = context.channel
        end?.cancel()
        end = context.eventLoop.scheduleTask(in: time) { channel.close(promise: nil) }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case ChannelEvent.inputClosed:
            // Anyone who has sent a request still reads its answer.
            if case .waiting = phase { context.close(promise: nil) }
        case is ChannelShouldQuiesceEvent:
            if case .waiting = phase { beLastMoment(context) } else { close(context, in: Self.patienceAtStop) }
        default: break
        }
        context.fireUserInboundEventTriggered(event)
    }

    private func beLastMoment(_ context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        end?.cancel()
        end = context.eventLoop.scheduleTask(in: Self.lastMoment) {
            let (handler, context) = bound.value
            if case .reading = handler.phase { return handler.close(context, in: Self.patienceAtStop) }
            context.close(promise: nil)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        end?.cancel()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}
