import Testing

@testable import InferqHTTP

#if canImport(Glibc)
    import Glibc
#endif

struct NetworkReachTests {
    @Test(arguments: ["127.0.0.1", "127.255.255.254", "localhost", "::1", "::ffff:127.0.0.1", "0:0:0:0:0:0:0:1"])
    func loopbackIsThisHostAlone(_ host: String) {
        #expect(NetworkReach.address(of: .tcp(host: host, port: 1)) == nil)
    }

    @Test(arguments: [
        ("0.0.0.0", "0.0.0.0:1"), ("192.168.1.5", "192.168.1.5:1"), ("::", "[::]:1"), ("fe80::1", "[fe80::1]:1"),
        ("128.0.0.1", "128.0.0.1:1"), ("::ffff:10.0.0.1", "[::ffff:10.0.0.1]:1"),
    ])
    func anyOtherAddressIsReachedByOthers(_ host: String, _ address: String) {
        #expect(NetworkReach.address(of: .tcp(host: host, port: 1)) == address)
        #expect(NetworkReach.address(of: Endpoint(.tcp(host: host, port: 1), .tls)) == "tls://" + address)
    }

    @Test
    func aUnixSocketIsThisHostAlone() {
        #expect(NetworkReach.address(of: .unix(path: "/x")) == nil)
        #expect(NetworkReach.address(of: Endpoint(.unix(path: "/x"), .admin)) == nil)
    }

    @Test(arguments: ["redis", "redis.lan", "localhost.example", "", "127.1"])
    func aNameMayBeAnyHost(_ name: String) {
        #expect(!NetworkReach.isLoopback(name))
    }

    @Test
    func anInheritedSocketIsAskedForItsAddress() throws {
        var four = sockaddr_in()
        four.sin_family = sa_family_t(AF_INET)
        let open = try bound(AF_INET, four)
        defer { close(open) }
        let port = try #require(
            NetworkReach.address(of: Endpoint(.inherited(descriptor: open)))?.split(separator: ":").last)
        #expect(NetworkReach.address(of: Endpoint(.inherited(descriptor: open))) == "0.0.0.0:\(port)")
        four.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let closed = try bound(AF_INET, four)
        defer { close(closed) }
        #expect(NetworkReach.address(of: Endpoint(.inherited(descriptor: closed))) == nil)
        let local = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0)
        defer { close(local) }
        #expect(NetworkReach.address(of: Endpoint(.inherited(descriptor: local))) == nil)
        // One that cannot be looked at.
        #expect(NetworkReach.address(of: Endpoint(.inherited(descriptor: -1))) == "descriptor -1")
    }

    private func bound(_ family: CInt, _ address: sockaddr_in) throws -> CInt {
        let descriptor = socket(family, CInt(SOCK_STREAM.rawValue), 0)
        try #require(descriptor >= 0)
        let code = withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        try #require(code == 0)
        return descriptor
    }
}
