import InferqCore
import InferqQueue
import InferqStore
import NIOCore

/// Follows the answer of one attempt as it is committed: a cursor that reads rows, like any listener.
///
/// No one who follows slows the model server, and nothing is shown that is not on disk.
final class AnswerFollower: Sendable {
    /// Why there is nothing more to follow.
    enum End: Sendable {
        /// The job has completed, and this was its answer.
        case completed
        /// The attempt has ended otherwise: the job goes on, or has ended without a whole answer.
        case broken
        /// The gateway stops.
        case stopping
    }

    private let gateway: Gateway
    private let connection: Connection
    private let writer: PatientWriter
    private let bell = Bell()

    /// Bytes that are read and written at a time.
    private static let pageLimit = 64 << 10

    init(_ gateway: Gateway, _ context: GatewayContext) {
        self.gateway = gateway
        connection = context.connection
        writer = PatientWriter(gateway, context)
    }

    /// Writes what there is from `cursor` on, and what follows until the attempt is over.
    ///
    /// - Parameters:
    ///   - silence: after so long without a byte `idle` is called, again and again; nil: never.
    ///   - written: told of all bytes that were written.
    /// - Throws: `ChannelError.eof` when the client has hung up, or why it cannot be written to.
    func follow(
        from cursor: StreamCursor,
        silence: Duration? = nil,
        idle: @Sendable (AnswerFollower) async throws -> Void = { _ in },
        written: ([UInt8]) -> Void = { _ in }
    ) async throws -> End {
        let job = cursor.run.job
        var cursor = cursor
        gateway.queue.hub.listen(to: job, bell, hearsOutput: true)
        connection.onHangUp(ring: bell)
        defer {
            connection.onHangUp(ring: nil)
            gateway.queue.hub.leave(job, bell)
        }
        var mustRead = false
        var stops = false
        while true {
            // At the end of an answer that comes in, the newest pieces are at hand.
            if !mustRead, let stretch = gateway.queue.streams.stretch(of: cursor.run, from: cursor.byte) {
                if !stretch.bytes.isEmpty {
                    try await write(stretch.bytes)
                    written(stretch.bytes)
                    cursor.advance(to: cursor.byte + stretch.bytes.count, piece: stretch.lastPiece)
                }
            } else {
                guard let page = try await gateway.store.page(at: cursor, byteLimit: Self.pageLimit) else {
                    throw StoreError.gone
                }
                cursor = page.next
                if !page.bytes.isEmpty {
                    try await write(page.bytes)
                    written(page.bytes)
                }
                if page.isCut { continue }
                guard page.status == .running, page.attempt == cursor.run.attempt else {
                    let isCompleted = page.status == .completed && page.outputAttempt == cursor.run.attempt
                    return isCompleted ? .completed : .broken
                }
            }
            if stops { return .stopping }
            let rings = try await wait(silence, idle)
            mustRead = rings.contains(.event)
            stops = rings.contains(.stop)
        }
    }

    private func wait(
        _ silence: Duration?, _ idle: @Sendable (AnswerFollower) async throws -> Void
    ) async throws -> Bell.Rings {
        while true {
            let rings = await gateway.wheel.wait(at: bell, atMost: silence)
            if rings.contains(.hangUp) { throw ChannelError.eof }
            if !rings.isDisjoint(with: [.output, .event, .stop]) { return rings }
            if rings.contains(.deadline) { try await idle(self) }
        }
    }

    func write(_ bytes: [UInt8]) async throws {
        do {
            try await writer.write(ByteBuffer(bytes: bytes))
        } catch {
            if writer.wasCutOff { gateway.queue.streams.metrics.cutReaders.add() }
            throw error
        }
    }
}
