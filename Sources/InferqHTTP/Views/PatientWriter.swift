import InferqCore
import InferqStore
import NIOCore
import Synchronization

/// Writes an answer that goes on for long, and cuts a client off that does not read for `listener_timeout`.
final class PatientWriter: Sendable {
    private let gateway: Gateway
    private let connection: Connection
    private let patience: Duration
    private let isCutOff = Atomic<Bool>(false)

    init(_ gateway: Gateway, _ context: GatewayContext) {
        self.gateway = gateway
        connection = context.connection
        patience = context.settings.listenerTimeout
    }

    /// Whether the client was cut off.
    var wasCutOff: Bool { isCutOff.load(ordering: .relaxed) }

    /// Returns when the kernel has taken the bytes.
    ///
    /// - Parameter isLast: nothing comes after it, so the end of the answer goes with it.
    func write(_ bytes: ByteBuffer, isLast: Bool = false) async throws {
        let channel = connection.channel
        let written = channel.eventLoop.makePromise(of: Void.self)
        channel.writeAndFlush(AnswerPart(body: bytes, isEnd: isLast), promise: written)
        // The kernel takes nearly all of them at once, and then there is nothing to wait for.
        if let result = written.futureResult.result { return try result.get() }
        let deadline = gateway.wheel.call(after: patience, tolerance: .seconds(1)) {
            self.isCutOff.store(true, ordering: .relaxed)
            channel.close(promise: nil)
        }
        defer { gateway.wheel.cancel(deadline) }
        try await written.futureResult.get()
    }
}

extension PatientWriter {
    /// A large body as it is written, the end of the answer included.
    func body(_ file: StoredFile) -> Response.Body {
        .pieces(length: file.byteCount) {
            try await file.forEachPiece { try await self.write(ByteBuffer(bytes: $0)) }
            self.connection.endAnswer()
        }
    }
}

extension EventLoopFuture<Void> {
    /// What has come of it already; nil off its event loop, where that cannot be known.
    fileprivate var result: Result<Void, any Error>? {
        guard eventLoop.inEventLoop else { return nil }
        var known: Result<Void, any Error>?
        assumeIsolated().whenComplete { known = $0 }
        return known
    }
}
