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
        // What is encoded could not be shown, and no layers could be found in it: it asks for no coding.
        var headers = HeaderPassage.request(attempt.call?.headers ?? [], settings.headers)
        func add(_ name: String, _ value: String?) {
            if let value { headers.add(name: name, value: value) }
        }
        func addUnlessThere(_ name: String, _ value: String?) {
            if !headers.contains(name: name) { add(name, value) }
        }
        addUnlessThere("Host", address.authority)
        addUnlessThere("Authorization", attempt.authorization)
        addUnlessThere("Idempotency-Key", attempt.job.description)
        add("Content-Length", String(attempt.body.byteCount))
        add("Content-Type", attempt.contentType)
        add("X-Inference-Id", attempt.job.description)
        add("X-Event-Id", attempt.eventID.description)
        add("X-Attempt", String(attempt.number))
        add("X-Notify-Url", attempt.gatewayURL + "/v1/notifications")
        add("X-Notify-Token", attempt.token)
        add("traceparent", attempt.traceparent)
        if attempt.call != nil { add("X-Request-Id", attempt.job.description) }
        return headers
    }
}
