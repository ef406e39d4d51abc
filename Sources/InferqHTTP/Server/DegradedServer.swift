import HTTPTypes
import InferqCore
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
    private let group: any EventLoopGroup
    private let state: Mutex<State>

    /// Connections at a time; past it they are closed. There is nothing to be had here, so few are enough.
    private static let connectionLimit = 1024
    /// The longest life of a connection: for a client that sends a large body slowly, or nothing.
    fileprivate static let longestLife = TimeAmount.seconds(30)

    /// - Parameter reason: one sentence without a full stop, for people, without secrets.
    package init(
        endpoints: [Endpoint],
        reason: String,
        version: String,
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
    ) {
        self.endpoints = endpoints
        self.version = version
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
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try self.setUp(channel) }
            }
        for endpoint in endpoints {
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

    private func setUp(_ channel: any Channel) throws {
        let count = state.withLock { state in
            state.open[ObjectIdentifier(channel)] = channel
            return state.open.count
        }
        channel.closeFuture.whenComplete { _ in self.state.withLock { $0.open[ObjectIdentifier(channel)] = nil } }
        guard count <= Self.connectionLimit else { return channel.close(promise: nil) }
        // Without help with pipelines, which would close a connection at a stop before its request has come.
        try channel.pipeline.syncOperations.configureHTTPServerPipeline(withPipeliningAssistance: false)
        try channel.pipeline.syncOperations.addHandler(DegradedAnswers(server: self))
    }

    fileprivate func answer(to head: HTTPRequestHead) -> (HTTPResponseHead, ByteBuffer) {
        let path = head.uri.prefix { $0 != "?" }
        let status: HTTPResponseStatus
        let type: String
        let body: ByteBuffer
        var headers = HTTPHeaders()
        if path == "/livez" || path == "/health/livez" {
            (status, type, body) = (.ok, "application/json", live)
        } else {
            let response = ErrorForm.of(path: String(path)).response(for: .degraded(reason), instance: String(path))
            status = .serviceUnavailable
            type = response.headers[.contentType] ?? ""
            body = if case .bytes(let bytes) = response.body { bytes } else { ByteBuffer() }
            for field in response.headers where field.name != .contentType && field.name != .contentLength {
                headers.add(name: field.name.rawName, value: field.value)
            }
        }
        headers.add(name: "Content-Type", value: type)
        headers.add(name: "Content-Length", value: "\(body.readableBytes)")
        headers.add(name: "Cache-Control", value: "no-store")
        headers.add(name: "Connection", value: "close")
        return (HTTPResponseHead(version: .http1_1, status: status, headers: headers), body)
    }

    private var live: ByteBuffer {
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("status")
        writer.value("UP")
        writer.name("version")
        writer.value(version)
        writer.endObject()
        return ByteBuffer(bytes: writer.bytes)
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
        let (answer, body) = server.answer(to: head)
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
            // Whoever has sent a request still reads its answer.
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
