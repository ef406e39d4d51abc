import HTTPTypes
import InferqCore
import InferqStore
import NIOCore

/// `GET /v1/events`: the events of all jobs as one stream. It ends when the gateway stops, and not before.
///
/// A listener is a cursor here as well: the hub's bell says only that there is something to read.
struct EventsRoute: Sendable {
    let gateway: Gateway

    @Sendable func listen(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let query = try Query(request.query)
        try query.allowOnly(Query.lastEventIDNames.union(["model"]))
        try request.checkAccepts("text/event-stream")
        let model = try query.single("model")
        // Before the head goes out: anyone who has the head gets every event that is committed from then on.
        let newest = try await gateway.store.newestEvent()
        let wanted = try request.headers[.lastEventID] ?? query.lastEventID()
        var cursor = newest
        if let id = wanted.flatMap({ Int64($0) }), (0...newest).contains(id) { cursor = id }
        // A listener that loses its connection before the first event knows all the same what to go on after.
        return EventStream.response(gateway, context, headers: [.lastEventID: "\(cursor)"]) { [cursor] stream in
            let listener = Listener(gateway: gateway, context: context, model: model, stream: stream)
            return try await listener.send(after: cursor)
        }
    }

    /// One open stream.
    private struct Listener {
        let gateway: Gateway
        let context: GatewayContext
        let model: String?
        let stream: EventStream

        /// Frames are written as soon as there are so many bytes of them.
        private static let writeSize = 32 << 10

        func send(after cursor: Int64) async throws -> StreamEnd {
            gateway.queue.hub.listenToAll(stream.bell)
            defer { gateway.queue.hub.leaveAll(stream.bell) }
            var cursor = cursor
            var isFirst = true
            var lastWrite = ContinuousClock.now
            var throttle = Throttle(wheel: gateway.wheel)
            while true {
                let page = try await gateway.store.events(
                    after: cursor, of: model, client: context.caller.view)
                cursor = page.last
                if !page.entries.isEmpty {
                    try await write(page.entries, isFirst: isFirst)
                    isFirst = false
                    lastWrite = .now
                } else if ContinuousClock.now - lastWrite >= context.settings.heartbeat {
                    // Events of other models have woken us all the time.
                    try await stream.write(ByteBuffer(string: ":\n"), events: 0)
                    lastWrite = .now
                }
                // Read on at once, but hear of a hang-up and of the stop first.
                if page.isCut { stream.bell.ring(.event) } else { await throttle.wait() }
                if let end = try await stream.wait() { return end }
            }
        }

        private func write(_ entries: [EventPage.Entry], isFirst: Bool) async throws {
            var buffer = ByteBuffer()
            var count = 0
            for (index, entry) in entries.enumerated() {
                var output: [UInt8]?
                if entry.event.isLast, let payload = entry.job.output {
                    output = try await gateway.store.shown(payload)
                }
                EventFrames.write(entry, output: output, isFirst: isFirst && index == 0, to: &buffer)
                count += 1
                guard buffer.readableBytes >= Self.writeSize || index == entries.count - 1 else { continue }
                try await stream.write(buffer, events: count)
                buffer = ByteBuffer()
                count = 0
            }
        }
    }
}

extension EventFrames {
    /// One frame of the stream of all jobs: as of one job, with `event_id` and `model` in front.
    fileprivate static func write(
        _ entry: EventPage.Entry, output: [UInt8]?, isFirst: Bool, to buffer: inout ByteBuffer
    ) {
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("event_id")
        writer.value(entry.job.eventID.description)
        writer.name("model")
        writer.value(entry.job.model)
        let limit = Wire.eventLimit - writer.bytes.count
        buffer.writeString("id: \(entry.event.id)\n")
        if isFirst { buffer.writeString("retry: 2000\n") }
        buffer.writeString("data: ")
        buffer.writeBytes(writer.bytes)
        buffer.writeString(",")
        buffer.writeBytes(Wire.event(entry.event, of: entry.job, output: output, limit: limit).dropFirst())
        buffer.writeString("\n\n")
    }
}
