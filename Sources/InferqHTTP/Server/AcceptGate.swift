import NIOCore
import NIOPosix
import Synchronization

/// Keeps an endpoint from accepting faster than connections are set up.
///
/// A connection has its file from the accept on, and is counted, or refused, once its own event loop has set it up. On a busy
/// machine a flood could open all files that the process may have in between, and libdispatch traps when it finds none to
/// look at its threads with. What is not accepted yet waits in the kernel's queue.
final class AcceptGate: ChannelDuplexHandler, Sendable {
    typealias InboundIn = any Channel
    typealias OutboundIn = Never

    /// Accepts of one reading of the endpoint; with as many under way there is no other one. The open files that are not for
    /// connections have room for both: see ``HTTPSettings/acceptsUnderWay``.
    static let atOnce = 8

    /// Accepted, and not yet set up.
    private let underWay = Atomic<Int>(0)
    /// Whether a reading waits for that to change.
    private let isHeld = Atomic<Bool>(false)

    private var mayRead: Bool { underWay.load(ordering: .sequentiallyConsistent) < Self.atOnce }

    func read(context: ChannelHandlerContext) {
        guard !mayRead else { return context.read() }
        isHeld.store(true, ordering: .sequentiallyConsistent)
        // The last one may have been set up just now.
        if mayRead, isHeld.exchange(false, ordering: .sequentiallyConsistent) { context.read() }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        underWay.add(1, ordering: .sequentiallyConsistent)
        context.fireChannelRead(data)
    }

    /// A connection of this endpoint has been set up, or is closed.
    fileprivate func settled(_ endpoint: (any Channel)?) {
        underWay.subtract(1, ordering: .sequentiallyConsistent)
        guard mayRead, isHeld.exchange(false, ordering: .sequentiallyConsistent), let endpoint else { return }
        endpoint.eventLoop.execute {
            // At a stop it is read no more: what is accepted just before the end would be reset.
            guard let options = endpoint.syncOptions, (try? options.getOption(.autoRead)) == true else { return }
            endpoint.read()
        }
    }
}

extension ServerBootstrap {
    /// Sets connections up, each on its own event loop, and few at a time.
    ///
    /// The options of connections must be such as cannot fail: one that is never set up would keep its place for good.
    ///
    /// - Parameter setUp: throws where the connection is to be closed.
    func settingUp(_ setUp: @escaping @Sendable (any Channel) throws -> Void) -> ServerBootstrap {
        let gate = AcceptGate()
        return serverChannelOption(.maxMessagesPerRead, value: UInt(AcceptGate.atOnce))
            .serverChannelInitializer { $0.pipeline.addHandler(gate) }
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    defer { gate.settled(channel.parent) }
                    do {
                        try setUp(channel)
                    } catch {
                        // NIO would do that two turns later.
                        channel.close(promise: nil)
                        throw error
                    }
                }
            }
    }
}
