import HTTPTypes
import InferqCore
import NIOCore

extension Response {
    /// JSON that is complete.
    static func json(_ bytes: [UInt8], status: HTTPResponse.Status = .ok, headers: HTTPFields = HTTPFields())
        -> Response
    {
        var headers = headers
        headers[.contentType] = "application/json"
        if headers[.cacheControl] == nil { headers[.cacheControl] = "no-store" }
        return Response(status: status, headers: headers, body: .bytes(ByteBuffer(bytes: bytes)))
    }
}
