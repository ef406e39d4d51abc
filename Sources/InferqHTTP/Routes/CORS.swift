import HTTPTypes

/// What browsers need to hear so that pages of another origin, named in the setting `origins`, may read answers (Fetch
/// standard, section 3.2). Such a page may show a key; cookies are never allowed, since they count for our own page alone.
enum CORS {
    /// Marks an answer, whatever it is: a page must be able to read errors as well.
    static func mark(_ headers: inout HTTPFields, _ request: Request, _ settings: HTTPSettings) {
        guard !settings.origins.isEmpty else { return }
        // Also without an Origin: a cache must not give this answer to a page.
        headers.append(HTTPField(name: .vary, value: "Origin"))
        guard let origin = request.headers[.origin], settings.origins.contains(origin) else { return }
        headers[.accessControlAllowOrigin] = origin
        headers[.accessControlExposeHeaders] = exposed
    }

    /// The answer to a browser that asks before it calls; nil for any other `OPTIONS`.
    ///
    /// - Parameters:
    ///   - allowed: the methods of the path. The origin was checked before.
    ///   - takesAll: whether header fields of all names are read there, as those of a call are.
    static func preflight(
        _ request: Request, allowed: String, takesAll: Bool = false, _ settings: HTTPSettings
    ) -> Response? {
        guard request.headers[.accessControlRequestMethod] != nil, let origin = request.headers[.origin],
            settings.origins.contains(origin)
        else { return nil }
        var headers: HTTPFields = [
            .allow: allowed,
            .accessControlAllowMethods: allowed,
            .accessControlAllowHeaders: takesAll ? request.headers[.accessControlRequestHeaders] ?? taken : taken,
            // Two hours: Chromium remembers no longer. A method or an origin that is taken away is refused all the same.
            .accessControlMaxAge: "7200",
        ]
        if request.headers[.requestPrivateNetwork] == "true" { headers[.allowPrivateNetwork] = "true" }
        return Response(status: .noContent, headers: headers)
    }

    /// Header fields of a request that some route reads, but for what every page may send anyway.
    private static let taken = """
        Authorization, Cache-Control, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, Prefer, traceparent, \
        X-API-Key
        """
    /// Header fields of an answer that a page may read, but for what it may read anyway.
    private static let exposed = """
        Allow, ETag, Idempotency-Replayed, Link, Location, Preference-Applied, Retry-After, X-Event-Id, X-Inference-Id, \
        X-Inferq-Attached, X-Request-Id, X-Should-Retry
        """
}
