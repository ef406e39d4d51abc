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
    /// Makes a connection, and closes it from the other side just before a request goes out on it, when the event loop cannot
    /// know that yet.
    ///
    /// - Parameter reads: whether the server takes the request first.
    private func outcome(reads: Bool) async throws -> Result<ClientAnswer, any Error> {
        let server = try ClosingServer()
        let address = try #require(HTTPAddress("http://127.0.0.1:\(server.port)/"))
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let bound = try await loop.submit {
            NIOLoopBound(ClientConnections(on: loop, ClientLimits(), trust: Trust()), eventLoop: loop)
        }.get()
        let made = loop.makePromise(of: Void.self)
        loop.execute {
            bound.value.reach(address, in: "m", keeps: true) { error in
                if let error { made.fail(error) } else { made.succeed() }
            }
        }
        try await made.futureResult.get()
        let exchange = ClientExchange(
            head: HTTPRequestHead(version: .http1_1, method: .POST, uri: "/", headers: ["Content-Length": "0"]),
            isIdempotent: true)
        defer { loop.execute { bound.value.close() } }
        do {
            return .success(
                try await exchange.answer {
                    loop.execute {
                        let peer = server.accept()
                        if !reads { close(peer) }
                        bound.value.send(exchange, in: "m", at: address)
                        var bytes = [UInt8](repeating: 0, count: 1024)
                        if reads {
                            _ = recv(peer, &bytes, bytes.count, 0)
                            close(peer)
                        }
                    }
                })
        } catch {
            return .failure(error)
        }
    }

    @Test
    func whatAServerClosedBeforeItReadTheRequestCountsAsReset() async throws {
        let outcome = try await outcome(reads: false)
        guard case .failure(HTTPClientError.reset) = outcome else {
            return #expect(Bool(false), "\(outcome)")
        }
    }

    @Test
    func whatAServerClosedAfterItReadTheRequestDoesNot() async throws {
        let outcome = try await outcome(reads: true)
        guard case .failure(HTTPClientError.closedEarly) = outcome else {
            return #expect(Bool(false), "\(outcome)")
        }
    }
}
