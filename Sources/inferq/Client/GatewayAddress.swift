import Glibc

/// Where a gateway is reached.
enum GatewayAddress: Sendable, Equatable, CustomStringConvertible {
    /// `base` is a URL without a slash at its end; `host` is what to send as Host.
    case web(base: String, host: String)
    /// An absolute path.
    case unix(path: String)

    /// Where the packaged and the bare gateway listen, in the order in which they are tried.
    ///
    /// - Parameter isRoot: whether root asks.
    static func usual(isRoot: Bool = geteuid() == 0) -> [GatewayAddress] {
        let all: [GatewayAddress] = [
            .unix(path: "/run/inferq/inferq.sock"), .web(base: "http://127.0.0.1:8484", host: "127.0.0.1:8484"),
        ]
        // For root alone, who has every right there.
        return isRoot ? [.unix(path: "/run/inferq/inferq-admin.sock")] + all : all
    }

    /// Reads `http://host:port`, with `https` and a path before the gateway's own too, or `unix:/path`.
    init(_ text: String) throws(Refusal) {
        let example = "http://127.0.0.1:8484"
        if text.hasPrefix("unix:") {
            let path = String(text.dropFirst(5))
            guard path.hasPrefix("/"), !path.hasPrefix("//"), !path.hasSuffix("/"),
                path.utf8.count <= HostText.longestSocketPath, !path.unicodeScalars.contains(where: \.isInvisible)
            else {
                let advice = "write something like \"unix:/run/inferq/inferq.sock\""
                throw Refusal("\(text.quoted()) names no absolute path of a Unix socket", advice)
            }
            self = .unix(path: path)
            return
        }
        let address = try WebAddress(text, example: example)
        guard ["http", "https"].contains(address.scheme) else {
            throw Refusal("the URL's scheme is not http, https or unix", "write something like \"\(example)\"")
        }
        guard address.credentials == nil else {
            throw Refusal("the URL holds a user or a password", "leave it out, since the gateway asks for none")
        }
        guard address.query == nil else { throw Refusal("the URL has a query", "leave out the part from ? on") }
        var path = address.path
        while path.hasSuffix("/") { path.removeLast() }
        let host = address.host + (address.port.map { ":\($0)" } ?? "")
        self = .web(base: "\(address.scheme)://\(host)\(path)", host: host)
    }

    /// The addresses to try: the flag's, or else the variable's, or else the usual ones.
    static func candidates(flag: String?, variable: String?) throws(ClientError) -> [GatewayAddress] {
        let given = flag.map { ($0, "--url") } ?? variable.flatMap { $0.isEmpty ? nil : ($0, "INFERQ_URL") }
        guard let (text, source) = given else { return usual() }
        do {
            return [try GatewayAddress(text)]
        } catch {
            throw ClientError(.usage, "\(source): \(error.what); \(error.advice)")
        }
    }

    /// The URL of a path of the gateway, as the HTTP client takes it.
    func url(_ path: String) -> String {
        switch self {
        case .web(let base, _): base + path
        case .unix(let socket): "http+unix://\(socket.percentEncoded)\(path)"
        }
    }

    /// What to send as Host: the gateway refuses names that it does not know.
    var host: String {
        switch self {
        case .web(_, let host): host
        case .unix: "localhost"
        }
    }

    /// The text that reads back as this address.
    var description: String {
        switch self {
        case .web(let base, _): base
        case .unix(let path): "unix:\(path)"
        }
    }
}

extension String {
    /// Everything but RFC 3986's unreserved characters escaped, so that it can stand anywhere in a URL.
    var percentEncoded: String {
        var result = ""
        for byte in utf8 {
            if byte.isLetterOrDigit || "-._~".utf8.contains(byte) {
                result.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                result += (byte < 16 ? "%0" : "%") + String(byte, radix: 16, uppercase: true)
            }
        }
        return result
    }
}
