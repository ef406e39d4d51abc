import HTTPTypes
import InferqHTTP
import Logging
import NIOCore
import NIOEmbedded

extension Case {
    /// A request through the checks of host and origin, the router, and back as an answer; nothing is read or written.
    static let router = Case("router: GET /livez", times: 2_000) { folder, measure in
        try await RunningQueue.withNewStore(in: folder) { running in
            let responder = GatewayResponder(gateway: running.gateway, logger: running.logger)
            let connection = Connection(channel: NIOAsyncTestingChannel(), isLocal: false)
            let request = Request(.get, "/livez", authority: "127.0.0.1:8484")
            try await measure { times in
                for _ in 0..<times {
                    let response = try await responder.response(to: request, connection, isRefused: false)
                    guard response.status == .ok else { throw Unexpected() }
                }
            }
        }
    }
}
