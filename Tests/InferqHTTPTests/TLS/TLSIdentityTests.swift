import Logging
import NIOCore
import NIOEmbedded
import NIOHTTP1
import NIOSSL
import Testing

@testable import InferqHTTP

struct TLSIdentityTests {
    private func refusal(_ files: TLSIdentity.Files) -> TLSIdentity.Unusable? {
        #expect(throws: TLSIdentity.Unusable.self) { try TLSIdentity(files, .tls12) }
    }

    @Test
    func theFileThatIsWrongIsNamed() throws {
        let (one, other) = (try TestCertificate(), try TestCertificate())
        var files = one.files
        files.key = other.key
        #expect(refusal(files)?.what == "the key does not match the certificate")
        files.key = []
        #expect(refusal(files)?.file == .key)
        files.key = Array("-----BEGIN ENCRYPTED PRIVATE KEY-----".utf8)
        #expect(refusal(files)?.what.contains("encrypted") == true)
        files = one.files
        files.certificate = one.key
        #expect(refusal(files)?.file == .certificate)
        files = one.files
        files.clientCA = Array("nonsense".utf8)
        #expect(refusal(files)?.file == .clientCA)
    }

    @Test
    func theSameFilesGiveTheSameIdentity() throws {
        let made = try TestCertificate()
        let first = try TLSIdentity.of(made.files, .tls12)
        let again = try TLSIdentity.of(made.files, .tls12)
        #expect(first.certificate == again.certificate)
    }

    // MARK: Handshakes, between two ends without a socket

    /// A gateway's end of a connection and its client's.
    private final class Ends {
        let server = EmbeddedChannel()
        let client = EmbeddedChannel()
        let connection: Connection
        let metrics = HTTPMetrics()

        init(_ files: TLSIdentity.Files, client shown: TestCertificate? = nil) throws {
            connection = Connection(channel: server, origin: .network(address: nil), isSecure: true)
            let stages = TLSStages(try TLSIdentity(files, .tls12), metrics: metrics, logger: Logger(label: "test"))
            try stages.add(to: server.pipeline.syncOperations, of: connection)
            var configuration = TLSConfiguration.makeClientConfiguration()
            configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(files.certificate))
            if let shown {
                configuration.certificateChain = try NIOSSLCertificate.fromPEMBytes(shown.certificate)
                    .map { .certificate($0) }
                configuration.privateKey = .privateKey(try NIOSSLPrivateKey(bytes: shown.key, format: .pem))
            }
            try client.pipeline.syncOperations.addHandler(
                NIOSSLClientHandler(context: NIOSSLContext(configuration: configuration), serverHostname: "localhost"))
            let address = try SocketAddress(ipAddress: "127.0.0.1", port: 1)
            server.connect(to: address, promise: nil)
            client.connect(to: address, promise: nil)
        }

        /// Carries bytes to and fro until neither says more.
        func talk() throws {
            var isQuiet = false
            while !isQuiet {
                isQuiet = true
                while let bytes = try client.readOutbound(as: ByteBuffer.self) {
                    isQuiet = false
                    try server.writeInbound(bytes)
                }
                while let bytes = try server.readOutbound(as: ByteBuffer.self) {
                    isQuiet = false
                    try client.writeInbound(bytes)
                }
                server.embeddedEventLoop.run()
                client.embeddedEventLoop.run()
            }
        }
    }

    private static let localhost = "subjectAltName=DNS:localhost"

    @Test
    func theNamesOfAVerifiedClientAreKnownAfterTheHandshake() throws {
        let gateway = try TestCertificate("/CN=localhost", Self.localhost)
        let shown = try TestCertificate("/CN=erp", "subjectAltName=URI:spiffe://site/erp,DNS:erp.lan")
        var files = gateway.files
        files.clientCA = shown.certificate
        let ends = try Ends(files, client: shown)
        try ends.talk()
        #expect(ends.connection.peerNames == ["spiffe://site/erp", "erp"])
        #expect(ends.connection.isSecure)
        #expect(ends.metrics.failedHandshakes.value == 0)
    }

    @Test
    func aClientWithoutACertificateHasNoNames() throws {
        let gateway = try TestCertificate("/CN=localhost", Self.localhost)
        var files = gateway.files
        files.clientCA = gateway.certificate
        let ends = try Ends(files)
        try ends.talk()
        try ends.server.writeOutbound(ByteBuffer(string: "hello"))
        try ends.talk()
        #expect(try ends.client.readInbound(as: ByteBuffer.self) == ByteBuffer(string: "hello"))
        #expect(ends.connection.peerNames.isEmpty)
    }

    @Test
    func aCertificateThatNobodyAskedForGivesNoNames() throws {
        let gateway = try TestCertificate("/CN=localhost", Self.localhost)
        let ends = try Ends(gateway.files, client: TestCertificate("/CN=erp"))
        try ends.talk()
        #expect(ends.connection.peerNames.isEmpty)
        #expect(ends.metrics.failedHandshakes.value == 0)
    }

    @Test
    func aCertificateOfAStrangerEndsTheHandshake() throws {
        let gateway = try TestCertificate("/CN=localhost", Self.localhost)
        var files = gateway.files
        files.clientCA = try TestCertificate("/CN=ca").certificate
        let ends = try Ends(files, client: TestCertificate("/CN=erp"))
        #expect(throws: (any Error).self) { try ends.talk() }
        #expect(ends.metrics.failedHandshakes.value == 1)
        #expect(ends.connection.peerNames.isEmpty)
    }

    @Test
    func anAnswerBeforeTheHandshakeClosesTheConnection() throws {
        let ends = try Ends(TestCertificate("/CN=localhost", Self.localhost).files)
        #expect(throws: ChannelError.self) { try ends.server.writeOutbound(ByteBuffer(string: "HTTP/1.1 408")) }
        #expect(!ends.server.isActive)
        #expect(ends.metrics.failedHandshakes.value == 1)
    }
}
