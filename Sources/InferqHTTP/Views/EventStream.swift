import HTTPTypes
import InferqCore
import InferqStore
import NIOCore
import Synchronization

/// One open stream of Server-Sent Events: its bell, its heartbeat and its end. What is written to it, its route knows.
final class EventStream: Sendable {
    typealias Send = @Sendable (EventStream) async throws -> StreamEnd

    let bell = Bell()
    private let gateway: Gateway
    private let connection: Connection
    private let heartbeat: Duration
    private let writer: PatientWriter
    private let isComplete = Atomic<Bool>(false)

    private init(_ gateway: Gateway, _ context: GatewayContext) {
        self.gateway = gateway
        connection = context.connection
        heartbeat = context.settings.heartbeat
        writer = PatientWriter(gateway, context)
    }

    /// The answer that is a stream: `send` writes it and returns why it ends.
    ///
    /// - Parameters:
    ///   - isWholeOrCut: Whether a stream that does not come to its end is cut, so that no client takes it for whole.
    ///   - headers: Further ones.
    static func response(
        _ gateway: Gateway, _ context: GatewayContext, isWholeOrCut: Bool = false, headers: HTTPFields = [:],
        _ send: @escaping Send
    ) -> Response {
        var headers = headers
        headers[.contentType] = "text/event-stream"
        headers[.cacheControl] = "no-store"
        headers[.accelBuffering] = "no"
        let stream = EventStream(gateway, context)
        let body = Response.Body.pieces(length: nil) {
            let streams = stream.gateway.metrics.streams
            streams.begin()
            stream.connection.onHangUp(ring: stream.bell)
            defer { stream.connection.onHangUp(ring: nil) }
            let end: StreamEnd
            do {
                end = try await send(stream)
            } catch {
                streams.end(stream.end(for: error))
                throw error
            }
            streams.end(end)
            if isWholeOrCut, end != .end { throw ChannelError.eof }
            stream.finish()
        }
        return Response(status: .ok, headers: headers, body: body)
    }

    private func end(for error: any Error) -> StreamEnd {
        if writer.wasCutOff { return .slow }
        return error is StoreError ? .store : .client
    }

    /// Waits until there may be something new to read, and sends heartbeats meanwhile.
    ///
    /// - Returns: why the stream must end; nil: read on.
    func wait() async throws -> StreamEnd? {
        while true {
            // A whole second of tolerance lets thousands of heartbeats share a wake-up.
            let tolerance = min(heartbeat / 10, .seconds(1))
            let rings = await gateway.wheel.wait(at: bell, atMost: heartbeat, tolerance: tolerance)
            if rings.contains(.hangUp) { return .client }
            if rings.contains(.stop) { return .drain }
            if !rings.isDisjoint(with: [.event, .output]) { return nil }
            // No empty line after it: several clients would take that for an event.
            try await write(ByteBuffer(string: ":\n"), events: 0)
        }
    }

    /// Writes, and cuts the listener off when it does not read for `listener_timeout`.
    ///
    /// - Parameter isLast: nothing comes after it, so the end of the answer goes with it.
    func write(_ buffer: ByteBuffer, events: Int, isLast: Bool = false) async throws {
        if isLast { isComplete.store(true, ordering: .relaxed) }
        try await writer.write(buffer, isLast: isLast)
        gateway.metrics.streams.events.add(events)
    }

    private func finish() {
        guard !isComplete.load(ordering: .relaxed) else { return }
        connection.endAnswer()
    }
}
