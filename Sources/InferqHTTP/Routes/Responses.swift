import HTTPTypes
import InferqCore
import NIOCore

extension Response {
    /// JSON that is complete.
    static func json(_ bytes: [UInt8], status: HTTPResponse.Status = .ok, headers: HTTPFields = HTTPFields())
        -> Response
    {
        var headers = headers
        headers.append(HTTPField(name: .contentType, value: "application/json"))
        if !headers.contains(.cacheControl) { headers.append(HTTPField(name: .cacheControl, value: "no-store")) }
        return Response(status: status, headers: headers, body: .bytes(ByteBuffer(bytes: bytes)))
    }
}
