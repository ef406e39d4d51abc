package import InferqCore
package import NIOSSL

/// What a certificate says of itself.
package struct CertificateFacts: Sendable, Equatable {
    /// Host names and IP addresses for which it stands.
    package let names: [String]
    /// Other things that it names, such as `spiffe://site/erp`.
    package let uris: [String]
    /// Nil where there is none, or more than one: no one could tell which of them was meant.
    package let commonName: String?
    /// The common name of who has signed it; empty where there is none.
    package let issuer: String
    package let begins: Timestamp
    package let ends: Timestamp
    /// In hexadecimal digits.
    package let serial: String

    package init(_ certificate: NIOSSLCertificate) {
        var names: [String] = []
        var uris: [String] = []
        for name in certificate._subjectAlternativeNames() {
            let bytes = Array(name.contents)
            switch name.nameType {
            case .dnsName: names.append(String(decoding: bytes, as: UTF8.self))
            case .ipAddress: names += [NetworkReach.text(packed: bytes)].compactMap { $0 }
            case .uri: uris.append(String(decoding: bytes, as: UTF8.self))
            default: break
            }
        }
        self.names = names
        self.uris = uris
        // What the library has read it can write again; if not, there is no name.
        let common = CommonNames(certificate: (try? certificate.toDERBytes()) ?? [])
        commonName = common.ofSubject.count == 1 ? common.ofSubject.first : nil
        issuer = common.ofIssuer.first ?? ""
        begins = Timestamp(milliseconds: Int64(certificate.notValidBefore) * 1000)
        ends = Timestamp(milliseconds: Int64(certificate.notValidAfter) * 1000)
        serial = Hex.text(certificate.serialNumber)
    }

    /// By what a client that shows it may be known.
    package var peerNames: [String] { uris + [commonName].compactMap { $0 } }

    /// The first certificate of a PEM file; nil where there is none.
    package init?(pem bytes: [UInt8]) {
        // The caller says what is wrong in its own words.
        guard let first = try? NIOSSLCertificate.fromPEMBytes(bytes).first else { return nil }
        self.init(first)
    }
}
