import Glibc

/// Reaches for an address; blocks, within a time limit.
struct SocketProbe {
    enum Target {
        case tcp(host: String, port: Int)
        case unix(path: String)
    }

    struct Failure: Error {
        let reason: String

        init(_ reason: String) {
            self.reason = reason
        }

        fileprivate static var last: Failure { Failure(String(cString: strerror(errno))) }
    }

    /// For each step: somebody waits for the answer.
    private static let patience: CInt = 3

    private let descriptor: CInt

    /// Connects and hangs up again.
    static func check(_ target: Target) throws(Failure) {
        let probe = try SocketProbe(target)
        close(probe.descriptor)
    }

    private init(_ target: Target) throws(Failure) {
        switch target {
        case .unix(let path): descriptor = try Self.unix(path)
        case .tcp(let host, let port): descriptor = try Self.tcp(host, port)
        }
    }

    private static func unix(_ path: String) throws(Failure) -> CInt {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { throw Failure("its path is too long") }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        return try withUnsafeBytes(of: &address) { raw throws(Failure) in
            try connected(AF_UNIX, raw.baseAddress, socklen_t(raw.count))
        }
    }

    private static func tcp(_ host: String, _ port: Int) throws(Failure) -> CInt {
        var hints = addrinfo()
        hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        let name = host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host
        let code = getaddrinfo(name, "\(port)", &hints, &found)
        guard code == 0 else { throw Failure(String(cString: gai_strerror(code))) }
        defer { freeaddrinfo(found) }
        var failure = Failure("the name has no address")
        var next = found
        while let entry = next?.pointee {
            do throws(Failure) {
                return try connected(entry.ai_family, entry.ai_addr.map { UnsafeRawPointer($0) }, entry.ai_addrlen)
            } catch {
                failure = error
            }
            next = entry.ai_next
        }
        throw failure
    }

    private static func connected(_ family: CInt, _ address: UnsafeRawPointer?, _ length: socklen_t) throws(Failure)
        -> CInt
    {
        let descriptor = socket(family, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw .last }
        // The limit of sending is that of connecting, too (socket(7), Linux).
        var limit = timeval(tv_sec: Int(patience), tv_usec: 0)
        for option in [SO_SNDTIMEO, SO_RCVTIMEO] {
            setsockopt(descriptor, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
        }
        let result = address.map { connect(descriptor, $0.assumingMemoryBound(to: sockaddr.self), length) } ?? -1
        guard result == 0 else {
            let failure = errno == EINPROGRESS ? Failure("no answer in time") : .last
            close(descriptor)
            throw failure
        }
        return descriptor
    }
}
