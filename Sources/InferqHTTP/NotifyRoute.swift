import HTTPTypes
import Hummingbird
import InferqCore
import NIOCore

/// `GET /v1/async/notify/{event_id}`: the events of one job as Server-Sent Events (WHATWG HTML, section 9.2).
///
/// A listener is a cursor: it reads rows after the last id that it has seen, and waits for its bell when there are none.
struct NotifyRoute: Sendable {
    let gateway: Gateway

    /// Events that are read at a time.
    private static let page = 64

    func add(to table: RouteTable) {
        table.on("/v1/async/notify/{event_id}", [.get: listen])
    }

    @Sendable private func listen(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let eventID = try context.uuid("event_id")
        let query = try Query(request.uri.query)
        try query.allowOnly(["last_event_id"])
        guard Accept.admits("text/event-stream", request.headers[.accept]) else {
            throw APIError.notAcceptable("text/event-stream")
        }
        guard let job = try await gateway.store.job(ofEvents: eventID) else { throw try await gateway.missing(eventID) }
        let cursor = Self.cursor(try request.headers[.lastEventID] ?? query.single("last_event_id"), of: job)
        guard cursor < job.lastEvent || !job.status.isFinal else { return Response(status: .noContent) }
        var headers = HTTPFields()
        headers[.contentType] = "text/event-stream"
        headers[.cacheControl] = "no-store"
        headers[.accelBuffering] = "no"
        let body = ResponseBody { writer in
            try await Listener(gateway: gateway, context: context, key: job.key).send(after: cursor, to: &writer)
            try await writer.finish(nil)
        }
        return Response(status: .ok, headers: headers, body: body)
    }

    /// The id to go on after; 0 for one that is no number or lies past this job's newest event.
    private static func cursor(_ text: String?, of job: Job) -> Int64 {
        guard let text, let id = Int64(text), id >= 0, id <= job.lastEvent else { return 0 }
        return id
    }

    /// One open stream.
    private struct Listener {
        let gateway: Gateway
        let context: GatewayContext
        let key: JobKey

        func send(after cursor: Int64, to writer: inout any ResponseBodyWriter) async throws {
            let bell = Bell()
            gateway.queue.hub.listen(to: key, bell)
            context.connection.onHangUp(ring: bell)
            defer {
                context.connection.onHangUp(ring: nil)
                gateway.queue.hub.leave(key, bell)
            }
            var cursor = cursor
            var isFirst = true
            while let (job, events) = try await gateway.store.history(key, after: cursor, limit: page) {
                if let last = events.last {
                    let output = try await EventFrames.output(of: job, for: events, gateway.store)
                    try await write(EventFrames.bytes(events, of: job, output: output, isFirst: isFirst), to: &writer)
                    cursor = last.id
                    isFirst = false
                    if last.isLast { return }
                    if events.count == page { continue }
                }
                guard try await wait(bell, &writer) else { return }
            }
        }

        /// - Returns: false when there is nobody to write to any more, or the gateway stops.
        private func wait(_ bell: Bell, _ writer: inout any ResponseBodyWriter) async throws -> Bool {
            while true {
                let heartbeat = context.settings.heartbeat
                // A whole second of tolerance lets thousands of heartbeats share a wake-up.
                let deadline = gateway.wheel.ring(bell, after: heartbeat, tolerance: min(heartbeat / 10, .seconds(1)))
                let rings = await bell.wait()
                gateway.wheel.cancel(deadline)
                if rings.contains(.hangUp) || rings.contains(.stop) { return false }
                if rings.contains(.event) { return true }
                // No empty line after it: several clients would take that for an event.
                try await write(ByteBuffer(string: ":\n"), to: &writer)
            }
        }

        /// Cuts the listener off when it does not read for `listener_timeout`.
        private func write(_ buffer: ByteBuffer, to writer: inout any ResponseBodyWriter) async throws {
            let channel = context.connection.channel
            let deadline = gateway.wheel.call(after: context.settings.listenerTimeout, tolerance: .seconds(1)) {
                channel.close(promise: nil)
            }
            defer { gateway.wheel.cancel(deadline) }
            try await writer.write(buffer)
        }
    }
}
