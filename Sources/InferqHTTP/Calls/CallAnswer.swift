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
        guard let output = job.output, let head = output.head else {
            var error = APIError.jobEnded(job, namesCause: true)
            Self.mark(&error.headers, job, isAttached: isAttached)
            throw error
        }
        var headers = HTTPFields(head.headers)
        headers[.contentType] = output.contentType
        headers[.contentEncoding] = output.contentEncoding
        Self.mark(&headers, job, isAttached: isAttached)
        // The clients of OpenAI and others repeat a 409, a 429 and every 5xx: the gateway has done so already.
        if job.status != .completed { headers[.xShouldRetry] = "false" }
        if let call = job.options.call { gateway.callers.metrics.answered(call.dialect, head.status) }
        let status = HTTPResponse.Status(code: head.status, reasonPhrase: "")
        return Response(status: status, headers: headers, body: try await body(output))
    }

    /// Whose answer it is.
    private static func mark(_ headers: inout HTTPFields, _ job: Job, isAttached: Bool) {
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
        let connection = context.connection
        return .pieces(length: file.byteCount) {
            try await file.forEachPiece { try await connection.write(ByteBuffer(bytes: $0)) }
            connection.endAnswer()
        }
    }
}
