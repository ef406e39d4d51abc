import Glibc

/// The addresses of a host, as numbers: all that a name stands for, those of IPv4 first, as hiredis does.
enum NumericAddress {
    /// - Throws: ``RedisError/unreachable(_:)`` when the name has none.
    static func all(of host: String) throws(RedisError) -> [String] {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, nil, &hints, &list)
        guard code == 0 else { throw .unreachable("\(host): \(String(cString: gai_strerror(code)))") }
        defer { freeaddrinfo(list) }
        var found: [String] = []
        var next = list
        while let each = next {
            if let address = text(each.pointee), !found.contains(address) { found.append(address) }
            next = each.pointee.ai_next
        }
        // Both, whatever the file of hosts says (RFC 6761, section 6.3).
        if host.lowercased() == "localhost" { found += ["127.0.0.1", "::1"].filter { !found.contains($0) } }
        return found.filter { !$0.contains(":") } + found.filter { $0.contains(":") }
    }

    private static func text(_ address: addrinfo) -> String? {
        var buffer = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        let code = getnameinfo(
            address.ai_addr, address.ai_addrlen, &buffer, socklen_t(buffer.count), nil, 0, NI_NUMERICHOST)
        guard code == 0 else { return nil }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
