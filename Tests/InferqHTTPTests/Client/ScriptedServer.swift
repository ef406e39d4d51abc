import NIOCore
import NIOPosix
import NIOSSL

@testable import InferqHTTP

/// Runs `body` with a client, and shuts it down afterwards.
func withClient(silence: Duration? = nil, _ body: (HTTPClient) async throws -> Void) async throws {
    try await HTTPClient.withClient(silence: silence) { client in
        try await body(client)
    }
}

/// A server in this process. Each of its connections goes to a script, which reads what the client sends, answers with
/// what it likes, and closes the connection when it returns.
struct ScriptedServer {
    typealias Script = @Sendable (_ peer: inout Peer, _ number: Int) async throws -> Void

    private typealias Connection = NIOAsyncChannel<ByteBuffer, ByteBuffer>

    enum Place {
        case tcp
        case tls(NIOSSLContext)
        case unix(path: String)
    }

    /// Runs `body` with the address of a server, and ends the server when `body` returns.
    ///
    /// - Parameter script: called with each connection and its number, from 1 on.
    static func run(
        at place: Place = .tcp,
        _ script: @escaping Script,
        _ body: (_ address: String) async throws -> Void
    ) async throws {
        var tls: NIOSSLContext?
        if case .tls(let context) = place { tls = context }
        let setUp: @Sendable (any Channel) -> EventLoopFuture<Connection> = { [tls] channel in
            channel.eventLoop.makeCompletedFuture {
                if let tls { try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls)) }
                return try NIOAsyncChannel(wrappingChannelSynchronously: channel)
            }
        }
        let bootstrap = ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        let listener =
            switch place {
            case .unix(let path):
                try await bootstrap.bind(unixDomainSocketPath: path, childChannelInitializer: setUp)
            case .tcp, .tls:
                try await bootstrap.bind(host: "127.0.0.1", port: 0, childChannelInitializer: setUp)
            }
        let port = listener.channel.localAddress?.port ?? 0
        try await listener.executeThenClose { connections in
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { await serve(connections, script) }
                try await body("127.0.0.1:\(port)")
                group.cancelAll()
            }
        }
    }

    private static func serve(
        _ connections: NIOAsyncChannelInboundStream<Connection>,
        _ script: @escaping Script
    ) async {
        await withDiscardingTaskGroup { peers in
            var last = 0
            do {
                for try await connection in connections {
                    last += 1
                    let number = last
                    peers.addTask {
                        // A client may break any connection: what it makes of that is what is tested.
                        try? await connection.executeThenClose { inbound, outbound in
                            var peer = Peer(inbound.makeAsyncIterator(), outbound)
                            try await script(&peer, number)
                        }
                    }
                }
            } catch {
                // The test has ended.
            }
        }
    }

    /// A client, as the server sees it.
    struct Peer {
        private var inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
        private let outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
        private var received = ""

        fileprivate init(
            _ inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator,
            _ outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
        ) {
            self.inbound = inbound
            self.outbound = outbound
        }

        func send(_ text: String) async throws {
            try await outbound.write(ByteBuffer(string: text))
        }

        /// Answers a request with a body whose length is announced.
        func answer(_ body: String, status: String = "200 OK") async throws {
            try await send("HTTP/1.1 \(status)\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
        }

        /// A request's head, without the empty line at its end; nil: the client has closed.
        mutating func head() async throws -> String? {
            try await text(through: "\r\n\r\n")
        }

        /// What comes before `mark`, which is taken, too; nil: the client has closed before.
        mutating func text(through mark: String) async throws -> String? {
            while true {
                if let range = received.firstRange(of: mark) {
                    let text = String(received[..<range.lowerBound])
                    received.removeSubrange(..<range.upperBound)
                    return text
                }
                guard let piece = try await inbound.next() else { return nil }
                received += String(buffer: piece)
            }
        }

        /// How many bytes come until the client closes, or `limit` is reached.
        mutating func bytes(upTo limit: Int = .max) async throws -> Int {
            var count = received.utf8.count
            received = ""
            while count < limit, let piece = try await inbound.next() { count += piece.readableBytes }
            return count
        }
    }
}
