import HTTPTypes
import InferqCore
import InferqStore
import NIOCore

/// What the client of a call gets when its job has ended: the model server's answer, byte for byte.
struct CallAnswer: Sendable {
    let gateway: Gateway
    let context: GatewayContext

    /// - Throws: ``APIError`` for a job that has no answer to pass on.
    func response(to job: Job, isAttached: Bool) async throws -> Response {
        // What came of a stream that broke is no answer: it is at the job's output.
        let isWhole = job.status == .completed || job.error?.code == .httpError
        guard isWhole, let output = job.output, let head = output.head else {
            var error = APIError.jobEnded(job, namesCause: true)
            Self.mark(&error.headers, job, isAttached: isAttached)
            throw error
        }
        let said = StreamHead(
            contentType: output.contentType, contentEncoding: output.contentEncoding, answer: head)
        var headers = Self.headers(said, job, isAttached: isAttached)
        // The clients of OpenAI and others repeat a 409, a 429 and every 5xx: the gateway has done so already.
        if job.status != .completed { headers[.xShouldRetry] = "false" }
        if let call = job.options.call { gateway.callers.metrics.answered(call.dialect, head.status) }
        let status = HTTPResponse.Status(code: head.status, reasonPhrase: "")
        return Response(status: status, headers: headers, body: try await body(output))
    }

    /// The header fields of an answer: what the model server said, and whose answer it is.
    static func headers(_ head: StreamHead, _ job: Job, isAttached: Bool) -> HTTPFields {
        var headers = HTTPFields(head.answer?.headers ?? [])
        headers[.contentType] = head.contentType
        headers[.contentEncoding] = head.contentEncoding
        mark(&headers, job, isAttached: isAttached)
        guard let call = job.options.call, let status = head.answer?.status, (200..<300).contains(status),
            StreamForm(call.dialect, path: call.path, head).isStream
        else {
            return headers
        }
        return buffering(headers)
    }

    /// Tells proxies to pass every byte on as it comes: nginx reads the one field, Traefik and Caddy the other.
    static func buffering(_ headers: HTTPFields) -> HTTPFields {
        var headers = headers
        headers[.accelBuffering] = "no"
        headers[.cacheControl] = "no-store, no-transform"
        return headers
    }

    /// Whose answer it is.
    static func mark(_ headers: inout HTTPFields, _ job: Job, isAttached: Bool) {
        headers[.inferenceID] = job.id.description
        headers[.eventID] = job.eventID.description
        headers.append(HTTPField(name: .link, value: "</v1/async/notify/\(job.eventID)>; rel=\"monitor\""))
        if headers[.requestID] == nil { headers[.requestID] = job.id.description }
        if isAttached { headers[.attached] = "true" }
    }

    private func body(_ output: Payload) async throws -> Response.Body {
        guard let file = try await gateway.store.file(of: output) else {
            let bytes = try await gateway.store.bytes(of: output) ?? []
            return .bytes(ByteBuffer(bytes: bytes))
        }
        return PatientWriter(gateway, context).body(file)
    }
}
