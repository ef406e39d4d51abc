import HTTPTypes
import InferqCore
import InferqQueue

/// `GET /v1/status`: what `inferq status` shows, in one answer.
struct StatusRoute: Sendable {
    let gateway: Gateway

    @Sendable func show(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try request.checkAccepts("application/json")
        try Query(request.query).allowOnly([])
        let size = try await gateway.store.size()
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("version")
        writer.value(gateway.version)
        writer.name("broker")
        writer.value(gateway.queue.broker.state.text)
        writer.name("listeners")
        writer.value(gateway.queue.hub.listenerCount)
        writer.name("models")
        writer.beginArray()
        for model in try await gateway.queue.modelFigures(for: context.caller) {
            writer.beginObject()
            ModelRoutes.members(of: model, to: &writer)
            writer.name("ended_per_second")
            writer.value((gateway.queue.rate(of: model.name, for: context.caller) * 100).rounded() / 100)
            writer.name("last_hour")
            Self.write(gateway.queue.lastHour(of: model.name, for: context.caller), to: &writer)
            writer.endObject()
        }
        writer.endArray()
        writer.name("workers")
        WorkerRoutes.write(gateway.peers.workers, for: context.caller, to: &writer)
        writer.name("store")
        writer.beginObject()
        let numbers: [(StaticString, Int)] = [
            ("database_bytes", size.database), ("wal_bytes", size.wal), ("blobs", size.blobs),
            ("blob_bytes", size.blobBytes), ("free_bytes", size.free),
        ]
        for (name, number) in numbers {
            writer.name(name)
            writer.value(number)
        }
        writer.name("sqlite_version")
        writer.value(gateway.store.recovery.sqliteVersion)
        writer.endObject()
        writer.endObject()
        return .json(writer.bytes)
    }

    /// A list of sixty numbers for each figure, the oldest minute first.
    private static func write(_ minutes: [LastHour.Minute], to writer: inout JSONWriter) {
        writer.beginObject()
        for (name, figure) in [("pending", \LastHour.Minute.pending), ("completed", \.completed), ("failed", \.failed)]
        {
            writer.name(escaping: name)
            writer.beginArray()
            for minute in minutes { writer.value(Int(minute[keyPath: figure])) }
            writer.endArray()
        }
        writer.endObject()
    }
}
