import HTTPTypes
import InferqCore
package import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// Holds the listeners while the gateway itself cannot work: 503 with the reason for all but `/livez`.
///
/// Nothing of a request is looked at but its path, and no connection is used twice: as soon as the gateway can work, it
/// takes the listeners over.
package final class DegradedServer: Sendable {
    private struct State {
        var reason: String
        var channels: [any Channel] = []
        var connectionCount = 0
    }

    private let listeners: [Listener]
    private let version: String
    private let group: any EventLoopGroup
    private let state: Mutex<State>

    /// Connections at a time; past it they are closed. There is nothing to be had here, so few are enough.
    private static let connectionLimit = 1024
    /// The longest life of a connection: for a client that sends a large body slowly, or nothing.
    fileprivate static let longestLife = TimeAmount.seconds(30)

    /// - Parameter reason: one sentence without a full stop, for people, without secrets.
    package init(
        listeners: [Listener],
        reason: String,
        version: String,
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
    ) {
        self.listeners = listeners
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
    /// - Throws: ``Listener/Unusable``.
    package func start() async throws {
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 4096)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try self.setUp(channel) }
            }
        for listener in listeners {
            let channel = try await listener.bind(bootstrap)
            state.withLock { $0.channels.append(channel) }
        }
    }

    /// Accepts no more. What was accepted is still answered, on the event loops; the descriptors stay with their owner.
    package func stop() async throws {
        let channels = state.withLock { state in
            defer { state.channels = [] }
            return state.channels
        }
        // As in ``HTTPServer``: a listener is closed only when no accept is in flight.
        for channel in channels { try await channel.setOption(.autoRead, value: false).get() }
        for _ in 0..<2 {
            try await EventLoopFuture.andAllComplete(group.makeIterator().map { $0.submit {} }, on: group.any()).get()
        }
        for channel in channels { try await channel.close().get() }
    }

    private func setUp(_ channel: any Channel) throws {
        let count = state.withLock { state in
            state.connectionCount += 1
            return state.connectionCount
        }
        channel.closeFuture.whenComplete { _ in self.state.withLock { $0.connectionCount -= 1 } }
        guard count <= Self.connectionLimit else { return channel.close(promise: nil) }
        try channel.pipeline.syncOperations.configureHTTPServerPipeline()
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
            let error = APIError.degraded(reason)
            (status, type) = (.serviceUnavailable, "application/problem+json")
            body = error.document(instance: String(path))
            for field in error.headers { headers.add(name: field.name.rawName, value: field.value) }
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

    private let server: DegradedServer
    private var head: HTTPRequestHead?
    private var end: Scheduled<Void>?

    init(server: DegradedServer) {
        self.server = server
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let channel = context.channel
        end = context.eventLoop.scheduleTask(in: DegradedServer.longestLife) { channel.close(promise: nil) }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): self.head = head
        case .body: break
        case .end:
            guard let head = head.take() else { return }
            let (answer, body) = server.answer(to: head)
            context.write(wrapOutboundOut(.head(answer)), promise: nil)
            if head.method != .HEAD { context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil) }
            let channel = context.channel
            context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in channel.close(promise: nil) }
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
