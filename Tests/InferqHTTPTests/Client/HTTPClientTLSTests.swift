import Foundation
import NIOCore
import NIOPosix
import NIOSSL
import TestSupport
import Testing

@testable import InferqHTTP

struct HTTPClientTLSTests {
    /// A certificate for `localhost`, signed by itself.
    private struct Identity {
        let server: NIOSSLContext
        let trust: Trust
        /// The certificate, as a file.
        let file: CertificateFile

        init() throws {
            let folder = try TemporaryFolder()
            let key = folder.path + "/key.pem"
            let certificate = folder.path + "/certificate.pem"
            try ChildProcess([
                "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out",
                certificate,
            ]).wait()
            let chain = try NIOSSLCertificate.fromPEMFile(certificate)
            server = try NIOSSLContext(
                configuration: .makeServerConfiguration(
                    certificateChain: chain.map { .certificate($0) },
                    privateKey: .privateKey(NIOSSLPrivateKey(file: key, format: .pem))
                )
            )
            trust = Trust(.certificates(chain))
            file = CertificateFile(folder: folder, path: certificate)
        }
    }

    private struct CertificateFile {
        let folder: TemporaryFolder
        let path: String
    }

    private static let greeting: ScriptedServer.Script = { peer, number in
        while try await peer.head() != nil { try await peer.answer("hello \(number)") }
    }

    private func client(_ trust: Trust) -> HTTPClient {
        HTTPClient(
            ClientLimits(connect: .seconds(600)), trust: trust, group: MultiThreadedEventLoopGroup.singleton.any())
    }

    private func reason(_ url: String, _ client: HTTPClient) async throws -> any Error {
        let error = await #expect(throws: HTTPClientError.self) { try await client.send(ClientRequest(.GET, url)) }
        guard case .noConnection(let reason)? = error else { throw try #require(error) }
        return reason
    }

    @Test
    func aTrustedServerIsCalledOnOneConnection() async throws {
        let identity = try Identity()
        let client = client(identity.trust)
        try await ScriptedServer.run(at: .tls(identity.server), Self.greeting) { address in
            for _ in 0..<2 {
                let url = address.replacing("127.0.0.1", with: "https://localhost")
                let answer = try await client.send(ClientRequest(.GET, url))
                let told = try await answer.bytes(upTo: 99)
                #expect(told == Array("hello 1".utf8))
            }
        }
        try await client.shutdown()
    }

    @Test
    func aCertificateForAnotherNameIsRefused() async throws {
        let identity = try Identity()
        let client = client(identity.trust)
        try await ScriptedServer.run(at: .tls(identity.server), Self.greeting) { address in
            let told = try await reason("https://\(address)/", client)
            #expect(told is NIOSSLExtraError)
        }
    }

    @Test
    func aCertificateThatNobodyTrustedSignedIsRefused() async throws {
        let identity = try Identity()
        let client = client(try Identity().trust)
        try await ScriptedServer.run(at: .tls(identity.server), Self.greeting) { address in
            let url = address.replacing("127.0.0.1", with: "https://localhost")
            guard case NIOSSLError.handshakeFailed = try await reason(url, client) else {
                return #expect(Bool(false), "no failure of the handshake")
            }
        }
    }

    @Test
    func aPrivateAuthorityCountsForTheRequestThatNamesIt() async throws {
        let identity = try Identity()
        let client = client(Trust())
        try await ScriptedServer.run(at: .tls(identity.server), Self.greeting) { address in
            let url = address.replacing("127.0.0.1", with: "https://localhost")
            var request = ClientRequest(.GET, url)
            request.ca = identity.file.path
            let answer = try await client.send(request)
            #expect(try await answer.bytes(upTo: 99) == Array("hello 1".utf8))
            // The connection that is kept is not for those who do not trust the server.
            guard case NIOSSLError.handshakeFailed = try await reason(url, client) else {
                return #expect(Bool(false), "no failure of the handshake")
            }
        }
        try await client.shutdown()
    }

    @Test
    func aFileOfAuthoritiesIsReadAgainWhenItChanges() throws {
        let (one, other) = (try Identity(), try Identity())
        let trust = Trust()
        let first = try trust.context(one.file.path)
        #expect(try trust.context(one.file.path) === first)
        try FileManager.default.removeItem(atPath: one.file.path)
        #expect(throws: HTTPClientError.self) { try trust.context(one.file.path) }
        try FileManager.default.copyItem(atPath: other.file.path, toPath: one.file.path)
        #expect(try trust.context(one.file.path) !== first)
    }

    @Test(arguments: ["", "nonsense"])
    func aFileWithoutACertificateIsNoAuthority(_ text: String) throws {
        let identity = try Identity()
        try text.write(toFile: identity.file.path, atomically: true, encoding: .utf8)
        #expect(throws: HTTPClientError.self) { try Trust().context(identity.file.path) }
    }

    @Test
    func aServerThatDoesNotSpeakTLSIsNoConnection() async throws {
        let client = client(Trust())
        try await ScriptedServer.run { peer, _ in
            try await peer.send("HTTP/1.1 400 Bad Request\r\n\r\n")
            _ = try await peer.bytes()
        } _: { address in
            let reason = try await reason("https://\(address)/", client)
            guard case NIOSSLError.handshakeFailed = reason else {
                return #expect(Bool(false), "\(reason) is no failure of the handshake")
            }
        }
    }

    @Test
    func aServerThatNeverAgreesIsNoConnection() async throws {
        let limits = ClientLimits(connect: .milliseconds(50))
        let client = HTTPClient(limits, group: MultiThreadedEventLoopGroup.singleton.any())
        try await ScriptedServer.run { peer, _ in
            _ = try await peer.bytes()
        } _: { address in
            guard case ChannelError.connectTimeout = try await reason("https://\(address)/", client) else {
                return #expect(Bool(false), "no limit")
            }
        }
    }
}
