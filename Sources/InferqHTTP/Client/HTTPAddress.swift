import Foundation

/// Where a model server listens, read from its URL once.
struct HTTPAddress: Sendable, Hashable {
    enum Endpoint: Sendable, Hashable {
        case tcp(host: String, port: Int)
        case unix(path: String)
    }

    let endpoint: Endpoint
    let usesTLS: Bool
    /// A PEM file of those who may have signed the server's certificate; empty: those that this host trusts.
    let ca: String
    /// The `Host` field.
    let authority: String
    /// The request's target: path and query.
    let target: String

    /// The same server, asked for another target.
    ///
    /// - Parameter target: sent as it is.
    func with(target: String) -> HTTPAddress {
        HTTPAddress(self, target)
    }

    private init(_ other: HTTPAddress, _ target: String) {
        endpoint = other.endpoint
        usesTLS = other.usesTLS
        ca = other.ca
        authority = other.authority
        self.target = target
    }

    /// Nil for a text that is no `http`, `https` or `http+unix` URL; the configuration's reader has refused those.
    init?(_ url: String, ca: String = "") {
        guard let parts = URLComponents(string: url), let host = parts.percentEncodedHost, !host.isEmpty else {
            return nil
        }
        let path = parts.percentEncodedPath.isEmpty ? "/" : parts.percentEncodedPath
        target = path + (parts.percentEncodedQuery.map { "?" + $0 } ?? "")
        let scheme = parts.scheme?.lowercased()
        switch scheme {
        case "http+unix":
            guard let socket = host.removingPercentEncoding else { return nil }
            endpoint = .unix(path: socket)
            authority = "localhost"
        case "http", "https":
            let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
            let name = isBracketed ? String(host.dropFirst().dropLast()) : host
            endpoint = .tcp(host: name, port: parts.port ?? (scheme == "https" ? 443 : 80))
            let shown = name.contains(":") ? "[\(name)]" : name
            authority = parts.port.map { "\(shown):\($0)" } ?? shown
        default: return nil
        }
        usesTLS = scheme == "https"
        self.ca = usesTLS ? ca : ""
    }
}
