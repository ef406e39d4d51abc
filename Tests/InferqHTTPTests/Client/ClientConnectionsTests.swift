import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import Testing

@testable import InferqHTTP

/// A server of the system's own sockets, which closes a connection at a moment that the test chooses.
private final class ClosingServer: Sendable {
    private let listener: CInt
    let port: Int

    init() throws {
        listener = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let (descriptor, length) = (listener, size)
        let port: in_port_t? = withUnsafeMutableBytes(of: &address) { bytes in
            let place = bytes.assumingMemoryBound(to: sockaddr.self).baseAddress
            guard bind(descriptor, place, length) == 0, listen(descriptor, 8) == 0 else { return nil }
            return getsockname(descriptor, place, &size) == 0
                ? bytes.loadUnaligned(fromByteOffset: 2, as: in_port_t.self) : nil
        }
        self.port = Int(try #require(port).bigEndian)
    }

    deinit { Glibc.close(listener) }

    /// - Returns: a connection that was made before.
    func accept() -> CInt { Glibc.accept(listener, nil, nil) }
}

struct ClientConnectionsTests {
    /// The connection is closed from the other side just before the request goes out, in one turn of the event loop, which
    /// learns of it only afterwards.
    @Test(.timeLimit(.minutes(10)))
    func whatAServerClosedBeforeItReadTheRequestCountsAsReset() async throws {
        let server = try ClosingServer()
        let address = try #require(HTTPAddress("http://127.0.0.1:\(server.port)/"))
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let bound = try await loop.submit {
            NIOLoopBound(ClientConnections(on: loop, ClientLimits(), trust: Trust()), eventLoop: loop)
        }.get()
        let exchange = ClientExchange(
            head: HTTPRequestHead(version: .http1_1, method: .POST, uri: "/", headers: ["Content-Length": "0"]),
            isIdempotent: true)
        defer { loop.execute { bound.value.close() } }
        let error = await #expect(throws: HTTPClientError.self) {
            try await exchange.answer {
                loop.execute {
                    bound.value.reach(address, in: "m", keeps: true) { error in
                        if let error { return exchange.resume(with: .failure(error)) }
                        close(server.accept())
                        bound.value.send(exchange, in: "m", at: address)
                    }
                }
            }
        }
        guard case .reset? = error else { return #expect(Bool(false), "\(String(describing: error))") }
    }
}
