import Dispatch
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import InferqHTTP

@Suite(.timeLimit(.minutes(10)))
struct AcceptGateTests {
    /// Counts what an endpoint accepts.
    private final class Watch: ChannelInboundHandler, Sendable {
        typealias InboundIn = any Channel

        let count = Atomic<Int>(0)

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            count.add(1, ordering: .sequentiallyConsistent)
            context.fireChannelRead(data)
        }
    }

    /// An endpoint whose connections are set up on one event loop, which is held up until `release` is signaled.
    private struct Bed {
        let endpoint: any Channel
        let watch = Watch()
        let release = DispatchSemaphore(value: 0)
        let settled: AsyncStream<Void>
        let groups: [MultiThreadedEventLoopGroup]

        init(_ setUp: @escaping @Sendable (any Channel) throws -> Void = { _ in }) async throws {
            groups = (0..<3).map { _ in MultiThreadedEventLoopGroup(numberOfThreads: 1) }
            let (settled, told) = AsyncStream.makeStream(of: Void.self)
            self.settled = settled
            endpoint = try await ServerBootstrap(group: groups[0], childGroup: groups[1])
                .serverChannelOption(.backlog, value: 1024)
                .settingUp {
                    told.yield()
                    try setUp($0)
                }
                .bind(host: "127.0.0.1", port: 0).get()
            try await endpoint.pipeline.addHandler(watch, position: .first).get()
            groups[1].next().execute { [release] in release.wait() }
        }

        func connect(_ count: Int) async throws -> [any Channel] {
            let address = try #require(endpoint.localAddress)
            var clients: [any Channel] = []
            for _ in 0..<count {
                clients.append(try await ClientBootstrap(group: groups[2]).connect(to: address).get())
            }
            return clients
        }

        /// The endpoint has had every chance to accept more.
        func turns() async throws {
            for _ in 0..<100 { try await endpoint.eventLoop.submit {}.get() }
        }

        func end(_ clients: [any Channel]) async throws {
            for client in clients { try? await client.close().get() }
            try await endpoint.close().get()
            for group in groups { try await group.shutdownGracefully() }
        }
    }

    @Test
    func noMoreAreAcceptedThanAreSetUp() async throws {
        let bed = try await Bed()
        let clients = try await bed.connect(200)
        try await bed.turns()
        let accepted = bed.watch.count.load(ordering: .sequentiallyConsistent)
        #expect((AcceptGate.atOnce..<2 * AcceptGate.atOnce).contains(accepted))
        bed.release.signal()
        var settled = bed.settled.makeAsyncIterator()
        for _ in 0..<200 { await settled.next() }
        #expect(bed.watch.count.load(ordering: .sequentiallyConsistent) == 200)
        try await bed.end(clients)
    }

    @Test
    func thoseThatAreRefusedMakeRoom() async throws {
        struct Refused: Error {}
        let bed = try await Bed { _ in throw Refused() }
        let clients = try await bed.connect(200)
        bed.release.signal()
        for client in clients { try await client.closeFuture.get() }
        #expect(bed.watch.count.load(ordering: .sequentiallyConsistent) == 200)
        try await bed.end([])
    }

    @Test
    func anEndpointThatIsReadNoMoreStaysSo() async throws {
        let bed = try await Bed()
        let clients = try await bed.connect(200)
        try await bed.turns()
        try await bed.endpoint.setOption(.autoRead, value: false).get()
        let accepted = bed.watch.count.load(ordering: .sequentiallyConsistent)
        bed.release.signal()
        var settled = bed.settled.makeAsyncIterator()
        for _ in 0..<accepted { await settled.next() }
        try await bed.turns()
        #expect(bed.watch.count.load(ordering: .sequentiallyConsistent) == accepted)
        try await bed.end(clients)
    }
}
