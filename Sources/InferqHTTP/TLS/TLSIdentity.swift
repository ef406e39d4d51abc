import Crypto
import NIOCore
import NIOSSL
import Synchronization

/// Who the gateway is to clients that speak TLS: certificate and key, and what is asked of clients.
///
/// A connection keeps the identity that it began with; a reload gives new ones another.
package struct TLSIdentity: Sendable {
    /// Of the first certificate, the gateway's own.
    package let certificate: CertificateFacts
    private let context: NIOSSLContext

    /// Why files cannot be used.
    package struct Unusable: Error, Equatable {
        package enum File: Sendable { case certificate, key, clientCA }

        package let file: File
        /// Without a full stop.
        package let what: String
        package let advice: String
    }

    /// The files' bytes, as they were read.
    package struct Files: Sendable {
        package var certificate: [UInt8]
        package var key: [UInt8]
        /// Nil: clients are asked for no certificate.
        package var clientCA: [UInt8]?

        package init(certificate: [UInt8], key: [UInt8], clientCA: [UInt8]? = nil) {
            self.certificate = certificate
            self.key = key
            self.clientCA = clientCA
        }
    }

    /// The identity in `files`, the one that was made before if they are the same: its clients may resume their sessions,
    /// and a gateway that waits for mended files tries them again and again.
    package static func of(_ files: Files, _ minVersion: TLSSettings.Version) throws(Unusable) -> TLSIdentity {
        let digest = files.digest(minVersion)
        if let known = last.withLock({ $0 }), known.digest == digest { return try known.outcome.get() }
        let outcome: Result<TLSIdentity, Unusable>
        do throws(Unusable) {
            outcome = .success(try TLSIdentity(files, minVersion))
        } catch {
            outcome = .failure(error)
        }
        last.withLock { $0 = (digest, outcome) }
        return try outcome.get()
    }

    private static let last = Mutex<(digest: SHA256.Digest, outcome: Result<TLSIdentity, Unusable>)?>(nil)

    init(_ files: Files, _ minVersion: TLSSettings.Version) throws(Unusable) {
        let chain = try Self.certificates(files.certificate, .certificate)
        guard let first = chain.first else { throw Self.noCertificate(.certificate) }
        let key = try Self.key(files.key)
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key)
        )
        configuration.minimumTLSVersion = minVersion == .tls13 ? .tlsv13 : .tlsv12
        // Of TLS 1.2, what RFC 9325 recommends: forward secrecy, and no CBC.
        configuration.cipherSuites = "ECDHE+AESGCM:ECDHE+CHACHA20"
        configuration.applicationProtocols = ["http/1.1"]
        configuration.shutdownTimeout = Self.patienceWithClose
        if let bytes = files.clientCA {
            configuration.trustRoots = .certificates(try Self.certificates(bytes, .clientCA))
            configuration.certificateVerification = .optionalVerification
            // Browsers offer what one of these has signed.
            configuration.sendCANameList = true
        }
        do {
            context = try NIOSSLContext(configuration: configuration)
        } catch NIOSSLError.failedToLoadPrivateKey {
            throw Unusable(
                file: .key, what: "the key does not match the certificate",
                advice: "name the key of the first certificate in tls.certificate"
            )
        } catch {
            throw Unusable(
                file: .certificate, what: "the certificate or its key is of a kind that TLS cannot use here",
                advice: "use an RSA key (2048 bits or more) or an ECDSA key (P-256)"
            )
        }
        certificate = CertificateFacts(first)
    }

    /// How long a client may take to answer our close: as a rule it says nothing, and there is nothing to be lost, since
    /// answers are taken before their connection is closed.
    private static let patienceWithClose = TimeAmount.milliseconds(100)

    private static func certificates(
        _ bytes: [UInt8], _ file: Unusable.File
    ) throws(Unusable) -> [NIOSSLCertificate] {
        do {
            return try NIOSSLCertificate.fromPEMBytes(bytes)
        } catch {
            throw noCertificate(file)
        }
    }

    private static func noCertificate(_ file: Unusable.File) -> Unusable {
        Unusable(
            file: file, what: "the file holds no certificate in PEM, or a truncated one",
            advice: "name a file with -----BEGIN CERTIFICATE-----"
        )
    }

    private static func key(_ bytes: [UInt8]) throws(Unusable) -> NIOSSLPrivateKey {
        let text = String(decoding: bytes, as: UTF8.self)
        guard !text.contains("ENCRYPTED") else {
            throw Unusable(
                file: .key, what: "the key is encrypted, and there is no one to type its password",
                advice: "write it without one: openssl pkey -in FILE -out NEW"
            )
        }
        do {
            return try NIOSSLPrivateKey(bytes: bytes, format: .pem)
        } catch {
            throw Unusable(
                file: .key, what: "the file holds no private key in PEM, or a truncated one",
                advice: "name a file with -----BEGIN PRIVATE KEY-----"
            )
        }
    }

    /// The first stage of a connection's pipeline.
    func handler() -> NIOSSLServerHandler {
        NIOSSLServerHandler(context: context)
    }
}

extension TLSIdentity.Files {
    fileprivate func digest(_ minVersion: TLSSettings.Version) -> SHA256.Digest {
        var hash = SHA256()
        for part in [Array(minVersion.rawValue.utf8), certificate, key, clientCA ?? [0]] {
            withUnsafeBytes(of: part.count) { hash.update(bufferPointer: $0) }
            hash.update(data: part)
        }
        return hash.finalize()
    }
}
