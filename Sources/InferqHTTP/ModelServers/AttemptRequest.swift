import InferqCore
import InferqQueue
import NIOHTTP1

/// The head of the request that one attempt sends to a model server.
struct AttemptRequest {
    let attempt: Attempt
    let settings: ModelSettings
    let address: HTTPAddress

    var head: HTTPRequestHead {
        HTTPRequestHead(
            version: .http1_1, method: HTTPMethod(rawValue: attempt.call?.method ?? "POST"), uri: target,
            headers: headers
        )
    }

    /// Below the server's root: what the client called, or where native submits go.
    private var target: String {
        guard let target = attempt.call?.target ?? settings.dialect.nativePath(settings.name) else {
            return address.target
        }
        return ModelRoot(address, settings.dialect).path + target
    }

    private var headers: HTTPHeaders {
        var headers = HTTPHeaders()
        let own = attempt.call?.headers ?? []
        headers.reserveCapacity(14 + settings.headers.count + own.count)
        func add(_ name: String, _ value: String?) {
            if let value { headers.add(name: name, value: value) }
        }
        func isConfigured(_ name: String) -> Bool {
            settings.headers.contains { $0.name.utf8.count == name.utf8.count && $0.name.lowercased() == name }
        }
        if !isConfigured("host") { add("Host", address.authority) }
        add("Content-Length", String(attempt.body.byteCount))
        for header in settings.headers { add(header.name, header.value) }
        // What is encoded could not be shown, and no layers could be found in it.
        if !isConfigured("accept-encoding") { add("Accept-Encoding", "identity") }
        add("Content-Type", attempt.contentType)
        var key = attempt.job.description
        for field in own {
            let name = field.name.lowercased()
            if name == "idempotency-key" {
                key = field.value
            } else if !isConfigured(name) {
                add(field.name, field.value)
            }
        }
        if !isConfigured("authorization") { add("Authorization", attempt.authorization) }
        add("X-Inference-Id", attempt.job.description)
        add("X-Event-Id", attempt.eventID.description)
        add("X-Attempt", String(attempt.number))
        add("X-Notify-Url", attempt.gatewayURL + "/v1/notifications")
        add("X-Notify-Token", attempt.token)
        add("traceparent", attempt.traceparent)
        add("Idempotency-Key", key)
        if attempt.call != nil { add("X-Request-Id", attempt.job.description) }
        return headers
    }
}
