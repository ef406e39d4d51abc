import NIOCore

#if canImport(Glibc)
    import Glibc
#endif

/// Whether other hosts can reach an address.
package enum NetworkReach {
    /// The address at which other hosts may reach an endpoint; nil for a Unix socket and for a loopback address.
    package static func address(of endpoint: Endpoint) -> String? {
        switch endpoint.place {
        case .unix: nil
        case .tcp(let host, _): isLoopback(host) ? nil : endpoint.description
        case .inherited(let descriptor): address(ofSocket: descriptor)
        }
    }

    /// Whether a host's name or address is this host's own. A name but `localhost` may become any address.
    package static func isLoopback(_ host: String) -> Bool {
        if host == "localhost" { return true }
        var four = in_addr()
        if inet_pton(AF_INET, host, &four) == 1 { return isLoopback(four) }
        var six = in6_addr()
        return inet_pton(AF_INET6, host, &six) == 1 && isLoopback(six)
    }

    private static func isLoopback(_ address: in_addr) -> Bool {
        UInt32(bigEndian: address.s_addr) >> 24 == 127
    }

    private static func isLoopback(_ address: in6_addr) -> Bool {
        let bytes = withUnsafeBytes(of: address) { Array($0) }
        let mapped: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 127]
        return bytes == [UInt8](repeating: 0, count: 15) + [1] || bytes.starts(with: mapped)
    }

    private static func address(ofSocket descriptor: CInt) -> String? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let code = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
        }
        // What cannot be looked at counts as open.
        guard code == 0 else { return "descriptor \(descriptor)" }
        return withUnsafeBytes(of: storage) { bytes in
            switch CInt(storage.ss_family) {
            case AF_UNIX: return nil
            case AF_INET:
                let socket = bytes.load(as: sockaddr_in.self)
                guard !isLoopback(socket.sin_addr) else { return nil }
                return "\(text(socket.sin_addr)):\(UInt16(bigEndian: socket.sin_port))"
            case AF_INET6:
                let socket = bytes.load(as: sockaddr_in6.self)
                guard !isLoopback(socket.sin6_addr) else { return nil }
                return "[\(text(socket.sin6_addr))]:\(UInt16(bigEndian: socket.sin6_port))"
            default: return "descriptor \(descriptor)"
            }
        }
    }

    private static func text<Address>(_ address: Address) -> String {
        withUnsafeBytes(of: address) { text(packed: Array($0)) } ?? "?"
    }

    /// An address as people write it.
    ///
    /// - Parameter bytes: 4 or 16, in network order; nil for any other number.
    package static func text(packed bytes: [UInt8]) -> String? {
        // It throws for a wrong number of bytes alone.
        try? SocketAddress(packedIPAddress: ByteBuffer(bytes: bytes), port: 0).ipAddress
    }
}
