import Crypto
import Foundation
import HTTPTypes
import NIOCore

/// `GET /openapi.json`, the description of the HTTP interface, and `GET /`, the page for people.
struct DocumentRoutes: Sendable {
    @Sendable func openAPI(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try request.checkAccepts("application/json")
        return EmbeddedFile.openAPI.response(to: request, headers: [.contentType: "application/json"])
    }

    @Sendable func page(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try request.checkAccepts("text/html")
        let headers: HTTPFields = [
            .contentType: "text/html; charset=utf-8", .contentSecurityPolicy: Self.policy,
            .referrerPolicy: "no-referrer",
        ]
        return EmbeddedFile.page.response(to: request, headers: headers)
    }

    /// The page runs its own script and style, talks to its gateway, and does nothing else; no one may frame it.
    private static let policy: String = {
        let page = EmbeddedFile.page.bytes
        return """
            default-src 'none'; script-src \(source("script", of: page)); style-src \(source("style", of: page)); \
            img-src data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'
            """
    }()

    /// The one element of that name in the page, as the policy names it: by the hash of its text.
    private static func source(_ element: String, of page: ByteBuffer) -> String {
        let bytes = page.readableBytesView
        guard let start = bytes.firstRange(of: "<\(element)>".utf8),
            let end = bytes.firstRange(of: "</\(element)>".utf8)
        else { return "'none'" }
        let digest = SHA256.hash(data: Array(bytes[start.upperBound..<end.lowerBound]))
        return "'sha256-\(Data(digest).base64EncodedString())'"
    }
}
