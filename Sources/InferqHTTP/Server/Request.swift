package import HTTPTypes
package import NIOCore
import NIOHTTP1

/// One request, as routes see it.
package struct Request: Sendable {
    let method: HTTPRequest.Method
    /// Path and query, as they were sent.
    let target: String
    let path: String
    /// What follows the path's question mark, up to a fragment; nil when there is none.
    let query: String?
    /// The field `Host`, which is not among `headers`.
    let authority: String?
    let headers: HTTPFields
    let body: RequestBody

    private init(
        _ method: HTTPRequest.Method, _ target: String, _ authority: String?, _ headers: HTTPFields, _ body: RequestBody
    ) {
        self.method = method
        self.target = target
        if let mark = target.offset(of: UInt8(ascii: "?"), from: 0) {
            path = String(target.utf8(in: 0..<mark))
            let end = target.offset(of: UInt8(ascii: "#"), from: mark + 1) ?? target.utf8.count
            query = String(target.utf8(in: mark + 1..<end))
        } else {
            path = target
            query = nil
        }
        self.authority = authority
        self.headers = headers
        self.body = body
    }

    package init(
        _ method: HTTPRequest.Method, _ target: String, authority: String, headers: HTTPFields = [:],
        body: ByteBuffer = ByteBuffer()
    ) {
        self.init(method, target, authority, headers, .whole(body))
    }

    /// Whether an `Origin` is that of the pages of the gateway itself.
    func isOwn(_ origin: String) -> Bool {
        authority.map { origin == "http://\($0)" || origin == "https://\($0)" } ?? false
    }

    /// Nil when the method is no token.
    init?(_ head: HTTPRequestHead, _ body: RequestBody) {
        guard let method = HTTPRequest.Method(head.method) else { return nil }
        var authority: String?
        var headers = HTTPFields()
        headers.reserveCapacity(head.headers.count)
        for (name, value) in head.headers {
            if name.utf8.count == 4, authority == nil, name.lowercased() == "host" {
                authority = value
            } else if let name = HTTPField.Name(name) {
                headers.append(HTTPField(name: name, value: value))
            }
        }
        self.init(method, Self.target(of: head), authority, headers, body)
    }

    /// Without the scheme and the host of an absolute target (RFC 9112, section 3.2.2): ``HeadCheck`` has compared that
    /// host with the field.
    private static func target(of head: HTTPRequestHead) -> String {
        guard head.uri.utf8.first != UInt8(ascii: "/"), let scheme = head.uri.firstRange(of: "://") else {
            return head.uri
        }
        let target = head.uri[scheme.upperBound...].drop { !"/?#".contains($0) }.prefix { $0 != "#" }
        return target.first == "/" ? String(target) : "/\(target)"
    }
}

extension HTTPRequest.Method {
    fileprivate init?(_ method: HTTPMethod) {
        switch method {
        case .GET: self = .get
        case .HEAD: self = .head
        case .POST: self = .post
        case .PUT: self = .put
        case .DELETE: self = .delete
        case .OPTIONS: self = .options
        default: self.init(method.rawValue)
        }
    }
}
