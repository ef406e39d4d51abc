import NIOCore

/// The name in a `Host` field, without its port and without a dot at the end, in lower case.
struct HostName: Sendable, Equatable {
    let text: String

    init(_ field: String) {
        // Bytes, where the characters of a text would cost as much as the rest of the checks together.
        let lower = field.utf8.allSatisfy { $0 < 0x80 && !(65...90).contains($0) } ? field : field.lowercased()
        var name = lower.utf8[...]
        if name.first == UInt8(ascii: "["), let end = name.firstIndex(of: UInt8(ascii: "]")) {
            text = String(Substring(name[..<end].dropFirst()))
            return
        }
        if let colon = name.lastIndex(of: UInt8(ascii: ":")),
            name[colon...].dropFirst().allSatisfy({ (48...57).contains($0) })
        {
            name = name[..<colon]
        }
        // "localhost." is the same name, written with the root of all names.
        text = String(Substring(name.last == UInt8(ascii: ".") ? name.dropLast() : name))
    }

    /// Whether it is an IP address, which no other name can be made to mean.
    var isAddress: Bool {
        // The fast path of nearly every request.
        if text == "127.0.0.1" || text == "::1" { return true }
        return (try? SocketAddress(ipAddress: text, port: 0)) != nil
    }
}
