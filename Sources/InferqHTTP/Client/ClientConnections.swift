import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// The connections of one event loop.
///
/// A worker's slot runs on an event loop and calls on a connection of that loop: a call changes no threads, and needs no
/// task of its own; see `docs/performance.md`. Those who call bound their calls, so connections are not counted here.
final class ClientConnections {
    /// A connection serves one pool: what a model's server does to one harms no other model's call.
    private struct Key: Hashable {
        let pool: String
        let endpoint: HTTPAddress.Endpoint
        let usesTLS: Bool
        let ca: String

        init(_ pool: String, _ address: HTTPAddress) {
            self.pool = pool
            endpoint = address.endpoint
            usesTLS = address.usesTLS
            ca = address.ca
        }
    }

    private let eventLoop: any EventLoop
    private let limits: ClientLimits
    private let trust: Trust
    private var idle: [Key: [ClientConnection]] = [:]
    private var isClosed = false

    init(on eventLoop: any EventLoop, _ limits: ClientLimits, trust: Trust) {
        self.eventLoop = eventLoop
        self.limits = limits
        self.trust = trust
    }

    /// Sends on an idle connection, the one used last, or on a new one. On the event loop.
    ///
    /// A request that may not be sent twice goes out on a new one: no one could tell whether a connection that breaks had
    /// been closed before it came.
    func send(_ exchange: ClientExchange, in pool: String, at address: HTTPAddress) {
        let key = Key(pool, address)
        while exchange.isIdempotent, let connection = idle[key]?.popLast() {
            if connection.isUsable { return connection.send(exchange) }
        }
        sendAnew(exchange, key)
    }

    private func sendAnew(_ exchange: ClientExchange, _ key: Key) {
        guard !isClosed else { return exchange.resume(with: .failure(HTTPClientError.shutDown)) }
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
        _ address: HTTPAddress, in pool: String, keeps: Bool, _ then: @escaping ((any Error)?) -> Void
    ) {
        let key = Key(pool, address)
        guard idle[key]?.contains(where: \.isUsable) != true else { return then(nil) }
        guard !isClosed else { return then(HTTPClientError.shutDown) }
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

    private func connect(_ key: Key, _ then: @escaping ClientConnection.Ready) {
        let context: NIOSSLContext?
        do throws(HTTPClientError) {
            context = key.usesTLS ? try trust.context(key.ca) : nil
        } catch {
            return then(.failure(HTTPClientError.noConnection(error)))
        }
        let bound = NIOLoopBound((self, then), eventLoop: eventLoop)
        let bootstrap = ClientBootstrap(group: eventLoop)
            .connectTimeout(limits.connect)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            // An answer is read no faster than it is taken: not several reads ahead before anybody looks.
            .channelOption(.maxMessagesPerRead, value: 1)
            // TLS tells by itself whether an end was meant.
            .channelOption(ResetWatch.option, value: context == nil)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try bound.value.0.setUp(channel, key, context) }
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
                let connection = try channel.pipeline.syncOperations.handler(type: ClientConnection.self)
                connection.whenReady { then($0.mapError { HTTPClientError.noConnection($0) as any Error }) }
            } catch {
                then(.failure(HTTPClientError.noConnection(error)))
            }
        }
    }

    /// The first of these is made alone.
    ///
    /// Two threads that are the first to make one at the same moment can crash Swift's library: the type's metadata is made
    /// when it is first used, and one thread takes what the other has half done for complete. A gateway does just that when it
    /// starts with jobs that wait. Of 2,000 processes whose two threads do so, 6 ended with SIGSEGV in
    /// `swift_checkMetadataState` (6.3.1, without optimization; with it none did). Other handlers are of types that are
    /// complete from the beginning.
    private static let makeDecoder: @Sendable () -> ByteToMessageHandler<HTTPResponseDecoder> = {
        let make = { @Sendable in ByteToMessageHandler(HTTPResponseDecoder(leftOverBytesStrategy: .dropBytes)) }
        _ = make()
        return make
    }()

    private func setUp(_ channel: any Channel, _ key: Key, _ context: NIOSSLContext?) throws {
        let pipeline = channel.pipeline.syncOperations
        if context == nil { try pipeline.addHandler(ResetWatch()) }
        if let context, case .tcp(let host, _) = key.endpoint {
            // A certificate is checked against a name; an address has none to send.
            let isAddress = (try? SocketAddress(ipAddress: host, port: 0)) != nil
            try pipeline.addHandler(NIOSSLClientHandler(context: context, serverHostname: isAddress ? nil : host))
        }
        try pipeline.addHandler(HTTPRequestEncoder())
        try pipeline.addHandler(Self.makeDecoder())
        let connection = ClientConnection(
            channel, usesTLS: key.usesTLS, limits,
            release: { [weak self] connection in
                guard let self, !self.isClosed else { return connection.close() }
                self.idle[key, default: []].append(connection)
            },
            sendAnew: { [weak self] exchange in
                guard let self else { return exchange.resume(with: .failure(HTTPClientError.shutDown)) }
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
}
