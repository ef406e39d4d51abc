/// Where the gateway listens.
enum ListenAddress: Sendable, Equatable, CustomStringConvertible {
    /// An IP address without brackets, or `localhost`. Port 0: the kernel chooses one.
    case tcp(host: String, port: Int)
    /// A path from the root.
    case unix(path: String)

    /// Reads `"127.0.0.1:8484"`, `"[::1]:8484"`, `"localhost:8484"` or `"unix:/path"`.
    init(_ text: String) throws(Refusal) {
        let example = "write for example \"127.0.0.1:8484\", \"[::1]:8484\" or \"unix:/run/inferq/inferq.sock\""
        if text.hasPrefix("unix:") {
            let path = String(text.dropFirst(5))
            guard path.hasPrefix("/"), !path.hasSuffix("/") else {
                throw Refusal("\(text.quoted()) names no absolute path", example)
            }
            guard path.utf8.count <= HostText.longestSocketPath else {
                let limit = HostText.longestSocketPath
                throw Refusal("\(text.quoted()) is too long for a Unix socket", "use at most \(limit) bytes")
            }
            self = .unix(path: path)
            return
        }
        guard let colon = text.lastIndex(of: ":") else {
            throw Refusal("\(text.quoted()) has no port", example)
        }
        guard let port = HostText.port(text[text.index(after: colon)...], in: 0...65_535) else {
            throw Refusal("\(text.quoted()) has no port from 0 to 65535", example)
        }
        let host = String(text[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]"), HostText.isIPv6(String(host.dropFirst().dropLast())) {
            self = .tcp(host: String(host.dropFirst().dropLast()), port: port)
        } else if HostText.isIPv4(host) || host == "localhost" {
            self = .tcp(host: host, port: port)
        } else if host.isEmpty || host == "*" {
            throw Refusal("\(text.quoted()) has no address", "write \"0.0.0.0:\(port)\" for every IPv4 address")
        } else if HostText.isIPv6(host) {
            throw Refusal("\(text.quoted()) lacks brackets", "write \"[\(host)]:\(port)\"")
        } else {
            // A name would have to be resolved before anything else works, and may mean several addresses.
            throw Refusal("\(text.quoted()) is not an IP address and a port", example)
        }
    }

    /// The text that reads back as this address.
    var description: String {
        switch self {
        case .tcp(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .unix(let path): "unix:\(path)"
        }
    }
}
