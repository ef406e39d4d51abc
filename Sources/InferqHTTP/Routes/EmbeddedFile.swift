import CEmbedded
import Crypto
import HTTPTypes
import InferqCore
import NIOCore

/// A file that is part of the program, as HTTP serves it.
struct EmbeddedFile: Sendable {
    let bytes: ByteBuffer
    /// Changes with the bytes.
    private let tag: String

    static let openAPI = EmbeddedFile(embedded_openapi())
    static let page = EmbeddedFile(embedded_page())

    private init(_ file: embedded_file) {
        let content = UnsafeBufferPointer(start: file.bytes, count: file.count)
        bytes = ByteBuffer(bytes: content)
        tag = "\"\(Hex.text(SHA256.hash(data: content).prefix(16)))\""
    }

    /// 200 with the file, or 304 for a client that has it. A new version of the program may bring another one, so a
    /// client asks each time.
    func response(to request: Request, headers: HTTPFields) -> Response {
        var headers = headers
        headers[.eTag] = tag
        headers[.cacheControl] = "no-cache"
        headers[.xContentTypeOptions] = "nosniff"
        // A tag ends with the quote that it begins with, so one that is found is one of the list.
        let isKnown = request.headers[values: .ifNoneMatch].contains { $0.contains(tag) || $0.trimmingSpaces == "*" }
        if isKnown { return Response(status: .notModified, headers: headers) }
        return Response(status: .ok, headers: headers, body: .bytes(bytes))
    }
}
