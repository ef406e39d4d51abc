import InferqHTTP
import InferqRedis

/// The rules of settings that hold addresses.
enum AddressRules {
    static let listen = SettingRule<Endpoint>(
        example: "\"127.0.0.1:8484\"", write: { "\"\($0)\"" }
    ) { value, context throws(Refusal) in
        guard case .text(let text) = value else {
            throw Refusal("expected an address, found \(value.found)", "write something like \(context.example)")
        }
        return try endpoint(text)
    }

    static let redis = SettingRule<RedisAddress?>.secret(
        example: "redis://127.0.0.1:6379/0", write: { "\"\($0?.description ?? "")\"" }, read: redisAddress
    )

    /// Reads an address, with `tls://` or `admin+` before it where it is one of those.
    static func endpoint(_ text: String) throws(Refusal) -> Endpoint {
        if text.hasPrefix("tls://") {
            let endpoint = try plainEndpoint(String(text.dropFirst(6)))
            guard case .tcp = endpoint.place else {
                throw Refusal("\(text.quoted()) is not a TCP address", "write something like \"tls://0.0.0.0:8443\"")
            }
            return Endpoint(endpoint.place, .tls)
        }
        if text.hasPrefix("admin+") {
            let endpoint = try plainEndpoint(String(text.dropFirst(6)))
            guard case .unix = endpoint.place else {
                let advice = "write something like \"admin+unix:/run/inferq/inferq-admin.sock\""
                throw Refusal("\(text.quoted()) is not a Unix socket", advice)
            }
            return Endpoint(endpoint.place, .admin)
        }
        return try plainEndpoint(text)
    }

    /// Reads `"127.0.0.1:8484"`, `"[::1]:8484"`, `"localhost:8484"` or `"unix:/path"`.
    private static func plainEndpoint(_ text: String) throws(Refusal) -> Endpoint {
        let example = "write something like \"127.0.0.1:8484\", \"[::1]:8484\" or \"unix:/run/inferq/inferq.sock\""
        if text.hasPrefix("unix:") {
            let path = String(text.dropFirst(5))
            guard path.hasPrefix("/"), !path.hasSuffix("/") else {
                throw Refusal("\(text.quoted()) names no absolute path", example)
            }
            guard path.utf8.count <= HostText.longestSocketPath else {
                let limit = HostText.longestSocketPath
                throw Refusal("\(text.quoted()) is too long for a Unix socket", "use at most \(limit) bytes")
            }
            return .unix(path: path)
        }
        guard let colon = text.lastIndex(of: ":") else {
            throw Refusal("\(text.quoted()) has no port", example)
        }
        guard let port = HostText.port(text[text.index(after: colon)...], in: 0...65_535) else {
            throw Refusal("\(text.quoted()) has no port from 0 to 65535", example)
        }
        let host = String(text[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]"), HostText.isIPv6(String(host.dropFirst().dropLast())) {
            return .tcp(host: String(host.dropFirst().dropLast()), port: port)
        }
        if HostText.isIPv4(host) || host == "localhost" { return .tcp(host: host, port: port) }
        if host.isEmpty || host == "*" {
            throw Refusal("\(text.quoted()) has no address", "write \"0.0.0.0:\(port)\" for every IPv4 address")
        }
        if HostText.isIPv6(host) {
            throw Refusal("\(text.quoted()) lacks brackets", "write \"[\(host)]:\(port)\"")
        }
        // A name would have to be resolved before anything else works, and may mean several addresses.
        throw Refusal("\(text.quoted()) is not an IP address and a port", example)
    }

    /// How model servers reach the gateway; without a slash at the end, so that paths can be appended.
    static func publicURL(_ text: String) throws(Refusal) -> String {
        if text.isEmpty { return text }
        let example = "http://gateway.example:8484"
        let address = try WebAddress(text, example: example)
        guard ["http", "https"].contains(address.scheme) else {
            throw Refusal("the URL's scheme is not http or https", "write something like \"\(example)\"")
        }
        try refuseCredentials(address, "model servers are not asked for a password")
        guard address.query == nil else { throw Refusal("the URL has a query", "leave out the part from ? on") }
        var trimmed = address.lowercasingScheme(of: text)
        while trimmed.hasSuffix("/") { trimmed.removeLast() }
        return trimmed
    }

    static func modelURL(_ text: String) throws(Refusal) -> String {
        let example = "http://127.0.0.1:9001/predict"
        let address = try WebAddress(text, example: example)
        try refuseCredentials(address, "add a header under `headers`, its value as \"$CREDENTIAL:name\"")
        switch address.scheme {
        case "http", "https":
            return address.lowercasingScheme(of: text)
        case "http+unix":
            guard let path = address.host.percentDecoded, path.hasPrefix("/"), !path.hasSuffix("/"),
                address.port == nil,
                !path.unicodeScalars.contains(where: \.isInvisible), path.utf8.count <= HostText.longestSocketPath
            else {
                let advice = "escape its slashes, for example \"http+unix://%2Frun%2Focr.sock/predict\""
                throw Refusal("the URL names no absolute path of a Unix socket", advice)
            }
            return address.lowercasingScheme(of: text)
        default:
            throw Refusal("the URL's scheme is not http, https or http+unix", "write something like \"\(example)\"")
        }
    }

    /// Reads `redis://[user:password@]host[:port][/database]` or `unix:/path[?db=database]`; no sentence quotes it.
    static func redisAddress(_ text: String) throws(Refusal) -> RedisAddress? {
        if text.isEmpty { return nil }
        let advice = "write something like \"redis://127.0.0.1:6379/0\" or \"unix:/run/redis/redis-server.sock\""
        if text.hasPrefix("unix:") { return try redisSocket(text, advice) }
        if text.lowercased().hasPrefix("rediss:") {
            let advice = "use a Unix socket, a loopback address or a tunnel such as stunnel"
            throw Refusal("TLS to Redis is not available, since Debian's hiredis is used without it", advice)
        }
        let address = try WebAddress(text, example: "redis://127.0.0.1:6379/0")
        guard address.scheme == "redis" else { throw Refusal("the scheme is not redis or unix", advice) }
        guard address.query == nil else { throw Refusal("the URL has a query", advice) }
        let host = address.host.hasPrefix("[") ? String(address.host.dropFirst().dropLast()) : address.host
        var redis = RedisAddress(.tcp(host: host, port: address.port ?? 6379))
        if let credentials = address.credentials {
            let parts = credentials.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            let words = parts.compactMap { String($0).percentDecoded }
            guard words.count == parts.count else { throw Refusal("user or password is badly escaped", advice) }
            redis.password = words.last
            if words.count == 2, let user = words.first, !user.isEmpty { redis.user = user }
        }
        let database = address.path.dropFirst()
        if !database.isEmpty {
            guard let number = HostText.port(database, in: 0...65_535) else {
                throw Refusal("the path is not the number of a database", advice)
            }
            redis.database = number
        }
        return redis
    }

    private static func redisSocket(_ text: String, _ advice: String) throws(Refusal) -> RedisAddress {
        let parts = text.dropFirst(5).split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let path = String(parts[0])
        var database = 0
        if parts.count > 1 {
            guard parts[1].hasPrefix("db="), let number = HostText.port(parts[1].dropFirst(3), in: 0...65_535) else {
                throw Refusal(
                    "the part from ? on is not the number of a database",
                    "write something like \"unix:/run/redis/redis-server.sock?db=3\""
                )
            }
            database = number
        }
        guard path.hasPrefix("/"), !path.hasPrefix("//"), !path.hasSuffix("/"),
            path.utf8.count <= HostText.longestSocketPath
        else {
            throw Refusal("the address names no absolute path of a Unix socket", advice)
        }
        var redis = RedisAddress(.unix(path: path))
        redis.database = database
        return redis
    }

    /// What a browser sends as Origin; in the form in which it sends it.
    static func origin(_ text: String) throws(Refusal) -> String {
        let advice = "write something like \"https://app.example\""
        if text == "*" || text == "null" {
            throw Refusal("\(text.quoted()) would let every website call", "name each origin, or proxy the gateway")
        }
        let address = try WebAddress(text, example: "https://app.example")
        guard address.credentials == nil, address.path.isEmpty, address.query == nil, address.scheme != "http+unix"
        else {
            throw Refusal("\(text.quoted()) is more than an origin", advice + ", without a path")
        }
        return address.origin
    }

    /// The path of a file, from the root on: a service's working directory is no place for one. Or empty.
    static func filePath(_ text: String) throws(Refusal) -> String {
        guard text.isEmpty || (text.hasPrefix("/") && !text.hasSuffix("/")) else {
            let advice = "write it in full, for example \"/etc/inferq/tls/cert.pem\""
            throw Refusal("\(text.quoted()) is not the absolute path of a file", advice)
        }
        return text
    }

    /// A name that clients may send as Host, in lower case.
    static func hostName(_ text: String) throws(Refusal) -> String {
        guard HostText.isName(text) else {
            let advice = "write only the name, for example \"gateway.example\", without scheme and port"
            throw Refusal("\(text.quoted()) is not a host name", advice)
        }
        return text.lowercased()
    }

    private static func refuseCredentials(_ address: WebAddress, _ advice: String) throws(Refusal) {
        guard address.credentials == nil else {
            throw Refusal("the URL holds a user or a password", "leave it out; \(advice)")
        }
    }
}
