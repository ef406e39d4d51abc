import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization

/// The connections to model servers of one event loop.
///
/// A worker's slot runs on an event loop and calls on a connection of that loop: a call changes no threads. This took
/// the place of a general client (`async-http-client`), which costs a task, a pool shared by all threads and some thirty
/// allocations a call; see `docs/performance.md`. The slots bound the calls, so connections are not counted here.
final class ClientConnections {
    /// A pool belongs to one model: what one model's server does to a connection harms no other model's call.
    private struct Key: Hashable {
        let model: String
        let endpoint: HTTPAddress.Endpoint
        let usesTLS: Bool

        init(_ model: String, _ address: HTTPAddress) {
            self.model = model
            endpoint = address.endpoint
            usesTLS = address.usesTLS
        }
    }

    private let eventLoop: any EventLoop
    private let trust: Trust
    private var idle: [Key: [ClientConnection]] = [:]
    private var isClosed = false

    /// Under the five seconds after which common model servers (uvicorn) close an idle connection themselves. A call on a
    /// connection that is just being closed is sent once more.
    private static let idleLimit = TimeAmount.seconds(4)
    /// A server that has not accepted by then counts as away.
    private static let connectTimeout = TimeAmount.seconds(5)

    init(on eventLoop: any EventLoop, trust: Trust) {
        self.eventLoop = eventLoop
        self.trust = trust
    }

    /// Sends on an idle connection, the one used last, or on a new one. On the event loop.
    func send(_ exchange: ClientExchange, of model: String, to address: HTTPAddress) {
        let key = Key(model, address)
        while let connection = idle[key]?.popLast() {
            if connection.isUsable { return connection.send(exchange) }
        }
        sendAnew(exchange, key)
    }

    private func sendAnew(_ exchange: ClientExchange, _ key: Key) {
        guard !isClosed else { return exchange.resume(with: .failure(CancellationError())) }
        connect(key) { result in
            switch result {
            case .success(let connection): connection.send(exchange)
            case .failure(let error): exchange.resume(with: .failure(error))
            }
        }
    }

    /// Makes a connection unless one is idle. On the event loop.
    ///
    /// - Parameters:
    ///   - keeps: whether it is kept for the next call, or closed.
    ///   - then: told why none could be made; nil: one could.
    func reach(
        _ model: String, at address: HTTPAddress, keeps: Bool, _ then: @escaping ((any Error)?) -> Void
    ) {
        let key = Key(model, address)
        guard idle[key]?.contains(where: \.isUsable) != true else { return then(nil) }
        guard !isClosed else { return then(CancellationError()) }
        connect(key) { result in
            switch result {
            case .success(let connection):
                if keeps { connection.rest() } else { connection.close() }
                then(nil)
            case .failure(let error): then(error)
            }
        }
    }

    /// Closes what is idle; connections in use end with their calls.
    func close() {
        isClosed = true
        for connection in idle.values.joined() { connection.close() }
        idle = [:]
    }

    private func connect(_ key: Key, _ then: @escaping (Result<ClientConnection, any Error>) -> Void) {
        let bound = NIOLoopBound((self, then), eventLoop: eventLoop)
        let bootstrap = ClientBootstrap(group: eventLoop)
            .connectTimeout(Self.connectTimeout)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try bound.value.0.setUp(channel, key) }
            }
        let channel: EventLoopFuture<any Channel>
        switch key.endpoint {
        case .unix(let path): channel = bootstrap.connect(unixDomainSocketPath: path)
        case .tcp(let host, let port):
            if let address = try? SocketAddress(ipAddress: host, port: port) {
                channel = bootstrap.connect(to: address)
            } else {
                channel = bootstrap.connect(host: host, port: port)
            }
        }
        channel.whenComplete { result in
            let then = bound.value.1
            do {
                let channel = try result.get()
                then(.success(try channel.pipeline.syncOperations.handler(type: ClientConnection.self)))
            } catch {
                then(.failure(HTTPClientError.noConnection(Self.reason(error))))
            }
        }
    }

    private func setUp(_ channel: any Channel, _ key: Key) throws {
        let pipeline = channel.pipeline.syncOperations
        if key.usesTLS, case .tcp(let host, _) = key.endpoint {
            // A certificate is checked against a name; an address has none to send.
            let isAddress = (try? SocketAddress(ipAddress: host, port: 0)) != nil
            try pipeline.addHandler(
                NIOSSLClientHandler(context: trust.context(), serverHostname: isAddress ? nil : host))
        }
        try pipeline.addHandler(HTTPRequestEncoder())
        try pipeline.addHandler(ByteToMessageHandler(HTTPResponseDecoder(leftOverBytesStrategy: .dropBytes)))
        let connection = ClientConnection(
            channel, idleLimit: Self.idleLimit,
            release: { [weak self] connection in
                guard let self, !self.isClosed else { return connection.close() }
                self.idle[key, default: []].append(connection)
            },
            sendAnew: { [weak self] exchange in
                guard let self else { return exchange.resume(with: .failure(CancellationError())) }
                self.sendAnew(exchange, key)
            }
        )
        try pipeline.addHandler(connection)
        let bound = NIOLoopBound((self, connection), eventLoop: eventLoop)
        channel.closeFuture.whenComplete { _ in
            let (connections, closed) = bound.value
            connections.idle[key]?.removeAll { $0 === closed }
        }
    }

    private static func reason(_ error: any Error) -> String {
        switch error {
        case let error as ChannelError:
            if case .connectTimeout = error { "it did not answer in time" } else { "refused or unreachable" }
        case let error as NIOConnectionError where error.connectionErrors.isEmpty: "its name does not resolve"
        case let error as HTTPClientError:
            if case .noConnection(let reason) = error { reason } else { "refused or unreachable" }
        default: "refused or unreachable"
        }
    }
}

/// The certificates that this host trusts, read when the first model behind `https` is called: most sites have none.
final class Trust: Sendable {
    private let known = Mutex<NIOSSLContext?>(nil)

    /// - Throws: ``HTTPClientError/noConnection(_:)`` when they cannot be read.
    func context() throws -> NIOSSLContext {
        try known.withLock { known in
            if let known { return known }
            do {
                let context = try NIOSSLContext(configuration: .makeClientConfiguration())
                known = context
                return context
            } catch {
                throw HTTPClientError.noConnection("the certificates of this host cannot be read")
            }
        }
    }
}
