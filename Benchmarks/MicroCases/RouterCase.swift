import HTTPTypes
import InferqCore
import InferqHTTP
import InferqQueue
import Logging
import NIOCore
import NIOEmbedded

extension Case {
    /// A request through the checks of host and origin, the router, and back as an answer; nothing is read or written.
    static let router = Case("router: GET /livez", times: 2_000) { folder, measure in
        try await RunningQueue.withNewStore(in: folder) { running in
            try await answer(
                Request(.get, "/livez", authority: "127.0.0.1:8484"), by: running.gateway, running, measure)
        }
    }

    /// One that is only for who may: in mode `open`, where everyone may, and with one of a hundred keys.
    static let routerOpen = Case("router: GET /v1/workers, mode open", times: 2_000) { folder, measure in
        try await RunningQueue.withNewStore(in: folder) { running in
            try await answer(
                Request(.get, "/v1/workers", authority: "127.0.0.1:8484"), by: running.gateway, running, measure)
        }
    }

    static let routerWithKey = Case("router: GET /v1/workers with a key", times: 2_000) { folder, measure in
        try await RunningQueue.withNewStore(in: folder) { running in
            let keys = (0..<100).map { _ in AccessKey() }
            let clients = keys.enumerated().map { number, key in
                var client = Client("client-\(number)")
                client.keys = [Caller.Key(key.digest, expires: nil)]
                client.scopes = .read
                return client
            }
            var access = AccessSettings()
            access.mode = .keys
            let headers: HTTPFields = [.authorization: "Bearer \(keys[50].text)"]
            let request = Request(.get, "/v1/workers", authority: "127.0.0.1:8484", headers: headers)
            try await answer(request, by: running.gateway(access, KeyRing(clients)), running, measure)
        }
    }

    /// The whole of a submit but for its bytes on the connection: read as JSON, stored alone, answered with its record.
    static let submitOverHTTP = Case("router: POST /v1/async/inference, stored alone", times: 200) { folder, measure in
        try await RunningQueue.withNewStore(in: folder) { running in
            let text = Array("{\"model\":\"m\",\"input\":".utf8) + Samples.request + Array("}".utf8)
            let body = ByteBuffer(bytes: text)
            let request = Request(
                .post, "/v1/async/inference", authority: "127.0.0.1:8484",
                headers: [.contentType: "application/json", .contentLength: String(body.readableBytes)], body: body)
            try await answer(request, .accepted, by: running.gateway, running, measure)
        }
    }

    /// The record of a job, read from the store.
    static let read = Case("router: GET /v1/inference/{id}", times: 1_000) { folder, measure in
        try await RunningQueue.withNewStore(in: folder) { running in
            let job = try await running.submit()
            let request = Request(.get, "/v1/inference/\(job.id)", authority: "127.0.0.1:8484")
            try await answer(request, by: running.gateway, running, measure)
        }
    }

    private static func answer(
        _ request: Request, _ status: HTTPResponse.Status = .ok, by gateway: Gateway, _ running: RunningQueue,
        _ measure: @Sendable (Work) async throws -> Void
    ) async throws {
        let responder = GatewayResponder(gateway: gateway, logger: running.logger)
        let connection = Connection(channel: NIOAsyncTestingChannel(), origin: .network(address: "127.0.0.1"))
        try await measure { times in
            for _ in 0..<times {
                let response = try await responder.response(to: request, connection, isRefused: false)
                guard response.status == status else { throw Unexpected() }
            }
        }
    }
}
