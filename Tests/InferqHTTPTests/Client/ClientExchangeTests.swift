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
}

extension ClientExchange {
    fileprivate var isRepeatedAfterAbort: Bool {
        abort()
        return mayRepeat()
    }
}
