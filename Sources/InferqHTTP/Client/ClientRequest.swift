package import NIOCore
package import NIOHTTP1

/// What a client sends.
package struct ClientRequest: Sendable {
    package enum Body: Sendable {
        case bytes(ByteBuffer)
        /// Sent as `source` gives it, in chunks when the length (bytes) is not known beforehand.
        case stream(length: Int64?, Source)
    }

    /// Calls `write` with one piece after the other; `write` returns when the system has taken the piece.
    package typealias Source = @Sendable (_ write: (ByteBuffer) async throws -> Void) async throws -> Void

    package var method: HTTPMethod
    package var url: String
    /// Of an `https` URL: a PEM file of those who may have signed the server's certificate; empty: those that this host
    /// trusts.
    package var ca = ""
    /// In place of ``url``, which is read as a URL: its target may hold what no URL may.
    var address: HTTPAddress?
    /// `Host` and what frames the body are added when the request is sent.
    package var headers: HTTPHeaders
    package var body: Body?

    package init(_ method: HTTPMethod, _ url: String, headers: HTTPHeaders = [:], body: Body? = nil) {
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
    }

    init(_ method: HTTPMethod, at address: HTTPAddress, headers: HTTPHeaders = [:], body: Body? = nil) {
        self.init(method, "", headers: headers, body: body)
        self.address = address
    }

    /// Whether the same request may be sent twice (RFC 9110, 9.2.2).
    var isIdempotent: Bool {
        if case .stream = body { return false }
        return [.GET, .HEAD, .OPTIONS, .PUT, .DELETE].contains(method)
    }

    func head(at address: HTTPAddress) -> HTTPRequestHead {
        var fields = HTTPHeaders()
        if !headers.contains(name: "Host") { fields.add(name: "Host", value: address.authority) }
        fields.add(contentsOf: headers)
        switch body {
        case .bytes(let bytes): fields.replaceOrAdd(name: "Content-Length", value: String(bytes.readableBytes))
        case .stream(let length?, _): fields.replaceOrAdd(name: "Content-Length", value: String(length))
        case .stream(nil, _): fields.replaceOrAdd(name: "Transfer-Encoding", value: "chunked")
        case nil:
            if [.POST, .PUT, .PATCH].contains(method) { fields.replaceOrAdd(name: "Content-Length", value: "0") }
        }
        return HTTPRequestHead(version: .http1_1, method: method, uri: address.target, headers: fields)
    }
}
