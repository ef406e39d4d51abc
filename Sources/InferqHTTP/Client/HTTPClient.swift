import NIOCore
import NIOPosix

/// An HTTP/1.1 client on kept-alive connections over TCP, TLS and Unix sockets.
///
/// It follows no redirect, decodes no body, and asks no proxy, whatever the environment names: what is called is on this
/// host or near it.
package final class HTTPClient: Sendable {
    private let group: any EventLoopGroup
    private let connections: [ObjectIdentifier: NIOLoopBoundBox<ClientConnections>]

    init(
        _ limits: ClientLimits,
        trust: Trust = Trust(),
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
    ) {
        self.group = group
        connections = Dictionary(
            uniqueKeysWithValues: group.makeIterator().map { loop in
                let connections = ClientConnections(on: loop, limits, trust: trust)
                return (ObjectIdentifier(loop), .makeBoxSendingValue(connections, eventLoop: loop))
            }
        )
    }

    /// - Parameters:
    ///   - connect: how long a server may take to accept a connection, and again for the handshake of TLS.
    ///   - silence: how long an answer may stand still, from the last byte of the request on; nil: forever.
    package convenience init(connect: Duration = .seconds(5), silence: Duration? = nil) {
        let limits = ClientLimits(connect: TimeAmount(connect), silence: silence.map { TimeAmount($0) })
        // One event loop, on which every request finds the connections of those before it.
        self.init(limits, group: MultiThreadedEventLoopGroup.singleton.any())
    }

    /// Runs `body` with a client, and shuts it down when `body` returns.
    package static func withClient<Result>(
        silence: Duration? = nil,
        _ body: (HTTPClient) async throws -> Result
    ) async throws -> Result {
        let client = HTTPClient(silence: silence)
        let result: Result
        do {
            result = try await body(client)
        } catch {
            // What `body` threw says more.
            try? await client.shutdown()
            throw error
        }
        try await client.shutdown()
        return result
    }

    /// Closes the connections that are idle; those in use end with their exchanges.
    package func shutdown() async throws {
        for connections in connections.values {
            try await connections.eventLoop.submit { connections.value.close() }.get()
        }
    }

    /// Sends a request and waits for the answer's head.
    ///
    /// A task that is cancelled closes the connection at once.
    ///
    /// - Parameter limit: for all of it, the last byte of the answer included; nil: none.
    /// - Throws: ``HTTPClientError``, what the system, TLS or the decoder says, or what the source of a body throws.
    package func send(_ request: ClientRequest, within limit: Duration? = nil) async throws -> ClientAnswer {
        guard let address = request.address ?? HTTPAddress(request.url, ca: request.ca) else {
            throw HTTPClientError.unreadableURL
        }
        guard case .stream(let length, let source) = request.body else {
            var bytes = ByteBuffer()
            if case .bytes(let body) = request.body { bytes = body }
            let exchange = ClientExchange(
                head: request.head(at: address), body: .whole(bytes), isIdempotent: request.isIdempotent
            )
            return try await perform(exchange, at: address, within: limit)
        }
        let (writers, continuation) = AsyncStream<BodyWriter>.makeStream()
        let exchange = ClientExchange(
            head: request.head(at: address), body: .stream(continuation), isIdempotent: false
        )
        return try await withThrowingTaskGroup(of: ClientAnswer?.self) { group in
            group.addTask { try await self.perform(exchange, at: address, within: limit) }
            group.addTask {
                await Self.stream(source, length, of: exchange, to: writers)
                return nil
            }
            var answer: ClientAnswer?
            while let ended = try await group.next() {
                answer = answer ?? ended
                // A server that refuses a body need not take the rest of it.
                if let ended, ended.status >= 300 { group.cancelAll() }
            }
            guard let answer else { throw CancellationError() }
            return answer
        }
    }

    private func perform(
        _ exchange: ClientExchange, at address: HTTPAddress, within limit: Duration?
    ) async throws -> ClientAnswer {
        if let limit {
            let deadline = group.any().scheduleTask(in: TimeAmount(limit)) { exchange.expire() }
            exchange.whenOver { deadline.cancel() }
        }
        return try await withTaskCancellationHandler {
            try await exchange.answer { self.start(exchange, at: address) }
        } onCancel: {
            exchange.abort()
        }
    }

    /// Writes a body as its source gives it. What goes wrong is told to anyone who waits for the answer.
    static func stream(
        _ source: ClientRequest.Source,
        _ length: Int64?,
        of exchange: ClientExchange,
        to writers: AsyncStream<BodyWriter>
    ) async {
        guard let writer = await writers.first(where: { _ in true }) else { return }
        do {
            var written: Int64 = 0
            try await source { piece in
                written += Int64(piece.readableBytes)
                if let length, written > length { throw HTTPClientError.bodyLengthChanged }
                try await writer.write(piece)
            }
            if let length, written != length { throw HTTPClientError.bodyLengthChanged }
            try await writer.end()
        } catch is BodyWriter.Unwanted {
            // Its connection is closed.
        } catch {
            // A task is cancelled when the answer has come before the end of the body, or no one waits for it any more.
            if !Task.isCancelled { exchange.abort(error) }
        }
    }

    // MARK: What lies beneath

    /// Sends on the event loop that the caller runs on, if it runs on one.
    ///
    /// - Parameter pool: connections are shared within one alone.
    func start(_ exchange: ClientExchange, in pool: String = "", at address: HTTPAddress) {
        guard let connections = current else { return exchange.resume(with: .failure(HTTPClientError.shutDown)) }
        let loop = connections.eventLoop
        if loop.inEventLoop { return connections.value.send(exchange, in: pool, at: address) }
        loop.execute { connections.value.send(exchange, in: pool, at: address) }
    }

    /// Makes a connection unless one is idle.
    ///
    /// - Parameter keeps: whether it is kept for the next exchange on this event loop, or closed.
    /// - Returns: why none could be made; nil: one could.
    func reach(_ address: HTTPAddress, in pool: String, keeps: Bool) async -> (any Error)? {
        guard let connections = current else { return HTTPClientError.shutDown }
        let loop = connections.eventLoop
        return await withCheckedContinuation { continuation in
            let reach: @Sendable () -> Void = {
                connections.value.reach(address, in: pool, keeps: keeps) { continuation.resume(returning: $0) }
            }
            if loop.inEventLoop { reach() } else { loop.execute(reach) }
        }
    }

    /// The connections of the event loop that the caller runs on, or else of any.
    private var current: NIOLoopBoundBox<ClientConnections>? {
        let loop = MultiThreadedEventLoopGroup.currentEventLoop ?? group.any()
        return connections[ObjectIdentifier(loop)] ?? connections[ObjectIdentifier(group.any())]
    }
}
