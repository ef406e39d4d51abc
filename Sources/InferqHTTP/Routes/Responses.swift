import HTTPTypes
import InferqCore
import NIOCore

extension Response {
    // Made once: creating a field validates its value byte by byte.
    private static let json = HTTPField(name: .contentType, value: "application/json")
    private static let uncached = HTTPField(name: .cacheControl, value: "no-store")

    /// JSON that is complete.
    static func json(_ bytes: [UInt8], status: HTTPResponse.Status = .ok, headers: HTTPFields = HTTPFields())
        -> Response
    {
        var headers = headers
        headers.append(json)
        if !headers.contains(.cacheControl) { headers.append(uncached) }
        return Response(status: status, headers: headers, body: .bytes(ByteBuffer(bytes: bytes)))
    }
}
