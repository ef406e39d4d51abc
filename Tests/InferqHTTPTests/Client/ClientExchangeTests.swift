import NIOCore
import NIOEmbedded
import NIOHTTP1
import Testing

@testable import InferqHTTP

struct ClientExchangeTests {
    private let channel = EmbeddedChannel()

    private func exchange() throws -> ClientExchange {
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        let exchange = ClientExchange(
            head: HTTPRequestHead(version: .http1_1, method: .POST, uri: "/"), isIdempotent: true
        )
        #expect(exchange.begins(on: channel))
        return exchange
    }

    @Test
    func anAbortClosesTheConnectionOfItsCall() throws {
        let exchange = try exchange()
        exchange.abort()
        channel.embeddedEventLoop.run()
        #expect(!channel.isActive)
        #expect(!exchange.begins(on: channel), "there is nothing to send any more")
    }

    @Test
    func anAbortThatMeetsTheEndOfTheAnswerLeavesTheConnectionToTheNextCall() throws {
        let exchange = try exchange()
        exchange.abort()
        exchange.ended()
        channel.embeddedEventLoop.run()
        #expect(channel.isActive)
    }

    @Test
    func aCallIsRepeatedOnce() throws {
        let exchange = try exchange()
        #expect(exchange.mayRepeat())
        #expect(!exchange.mayRepeat())
        #expect(try !self.exchange().isRepeatedAfterAbort)
    }

    @Test
    func anAnswerIsHandedOverBeforeItsExchangeIsOver() async throws {
        let exchange = ClientExchange(
            head: HTTPRequestHead(version: .http1_1, method: .POST, uri: "/"), isIdempotent: true
        )
        // The time is up at the very moment at which the answer ends.
        exchange.whenOver { exchange.expire() }
        let answer = try await exchange.answer {
            let channel = EmbeddedChannel()
            let connection = ClientConnection(
                channel, usesTLS: false, ClientLimits(), release: { _ in }, sendAnew: { _ in }
            )
            #expect(throws: Never.self) {
                try channel.pipeline.syncOperations.addHandler(connection)
                try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
                connection.send(exchange)
                let head = HTTPResponseHead(version: .http1_1, status: .ok)
                for part in [HTTPClientResponsePart.head(head), .end(nil)] {
                    channel.pipeline.syncOperations.fireChannelRead(NIOAny(part))
                }
            }
        }
        #expect(answer.status == 200)
    }
}

extension ClientExchange {
    fileprivate var isRepeatedAfterAbort: Bool {
        abort()
        return mayRepeat()
    }
}
