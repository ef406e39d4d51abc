import HTTPTypes
import Hummingbird
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
        return Response(status: status, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
    }
}

extension GatewayContext {
    /// The UUID in the path.
    ///
    /// - Throws: 400 when it is none.
    func uuid(_ parameter: String) throws(APIError) -> UUIDv7 {
        let text = coreContext.parameters.get(parameter) ?? ""
        guard let id = UUIDv7(text) else { throw .invalidUUID(text) }
        return id
    }
}
