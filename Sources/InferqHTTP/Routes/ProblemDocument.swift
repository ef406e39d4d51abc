import HTTPTypes
import InferqCore
import NIOCore

/// An error as clients get it: an RFC 9457 problem document.
extension APIError {
    /// - Parameters:
    ///   - instance: the request's path.
    ///   - target: the path with the query.
    func response(instance: String?, target: String = "") -> Response {
        var headers = headers
        if let gateway { headers[.location] = gateway + target }
        headers[.contentType] = "application/problem+json"
        headers[.cacheControl] = "no-store"
        return Response(
            status: status, headers: headers, body: .bytes(document(instance: instance)), isLast: closesConnection)
    }

    func document(instance: String?) -> ByteBuffer {
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("type")
        writer.value("urn:inferq:problem:\(code.rawValue)")
        writer.name("title")
        writer.value(code.title)
        writer.name("status")
        writer.value(status.code)
        writer.name("detail")
        writer.value(detail)
        writer.name("code")
        writer.value(code.rawValue)
        if let instance {
            writer.name("instance")
            writer.value(instance)
        }
        if let id {
            writer.name("id")
            writer.value("\(id)")
        }
        if let cause {
            writer.name("error")
            writer.raw(cause)
        }
        if let gateway {
            writer.name("gateway")
            writer.value(gateway)
        }
        writer.endObject()
        return ByteBuffer(bytes: writer.bytes)
    }
}
