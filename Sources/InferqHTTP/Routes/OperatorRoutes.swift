import HTTPTypes
import InferqCore
import NIOCore

/// What the people and programs that run the gateway ask for.
struct OperatorRoutes: Sendable {
    let gateway: Gateway

    /// Looks at nothing else: that the process answers is the answer.
    @Sendable func live(_ request: Request, _ context: GatewayContext) async throws -> Response {
        .json(health(context))
    }

    /// Goes through the writer and back.
    @Sendable func ready(_ request: Request, _ context: GatewayContext) async throws -> Response {
        do {
            try await gateway.store.ping()
            if let shortage = gateway.store.disk.shortage { throw APIError.notReady("disk", shortage.description) }
        } catch  where gateway.access.mayBeStrange(context.connection) {
            return .json(HealthDocument(isUp: false).bytes, status: .serviceUnavailable, headers: [.retryAfter: "5"])
        }
        return .json(health(context))
    }

    private func health(_ context: GatewayContext) -> [UInt8] {
        // No one shows a key here.
        if gateway.access.mayBeStrange(context.connection) { return HealthDocument(isUp: true).bytes }
        return HealthDocument(isUp: true, version: gateway.version, broker: gateway.queue.broker.state.text).bytes
    }
}
