import NIOCore

/// The name in a `Host` field, without its port and without a dot at the end, in lower case.
struct HostName: Sendable, Equatable {
    let text: String

    init(_ field: String) {
        let lower = field.lowercased()
        if lower.hasPrefix("["), let end = lower.firstIndex(of: "]") {
            text = String(lower[lower.index(after: lower.startIndex)..<end])
            return
        }
        var name = lower[...]
        if let colon = lower.lastIndex(of: ":"),
            lower[lower.index(after: colon)...].utf8.allSatisfy({ (48...57).contains($0) })
        {
            name = lower[..<colon]
        }
        // "localhost." is the same name, written with the root of all names.
        text = String(name.hasSuffix(".") ? name.dropLast() : name)
    }

    /// Whether it is an IP address, which no other name can be made to mean.
    var isAddress: Bool {
        // The fast path of nearly every request.
        if text == "127.0.0.1" || text == "::1" { return true }
        return (try? SocketAddress(ipAddress: text, port: 0)) != nil
    }
}
