import HTTPTypes
import InferqCore
import NIOCore

/// What the people and programs that run the gateway ask for.
struct OperatorRoutes: Sendable {
    let gateway: Gateway

    /// Looks at nothing else: that the process answers is the answer.
    @Sendable func live(_ request: Request, _ context: GatewayContext) async throws -> Response {
        .json(health)
    }

    /// Goes through the writer and back.
    @Sendable func ready(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try await gateway.store.ping()
        if let shortage = gateway.store.disk.shortage { throw APIError.notReady("disk", shortage.description) }
        return .json(health)
    }

    private var health: [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("status")
        writer.value("UP")
        writer.name("version")
        writer.value(gateway.version)
        writer.name("broker")
        writer.value(gateway.queue.broker.state.text)
        writer.endObject()
        return writer.bytes
    }
}
