import InferqCore
import NIOSSL
import Testing

@testable import InferqHTTP

/// What is read out of a certificate.
struct CertificateFactsTests {
    private func facts(_ subject: String, _ extensions: String...) throws -> CertificateFacts {
        let made = try extensions.first.map { try TestCertificate(subject, $0) } ?? TestCertificate(subject)
        return try #require(CertificateFacts(pem: made.certificate))
    }

    @Test
    func namesOfEveryKindAreTold() throws {
        let facts = try facts(
            "/O=Plant/CN=erp",
            "subjectAltName=DNS:box.lan,DNS:*.box.lan,IP:192.168.1.5,IP:fd00::1,URI:spiffe://site/erp,email:a@b.c"
        )
        #expect(facts.names == ["box.lan", "*.box.lan", "192.168.1.5", "fd00::1"])
        #expect(facts.uris == ["spiffe://site/erp"])
        #expect(facts.commonName == "erp")
        #expect(facts.issuer == "erp")
        #expect(facts.peerNames == ["spiffe://site/erp", "erp"])
        #expect(facts.serial == "0a10")
        #expect(facts.ends - facts.begins == .seconds(30 * 86_400))
        #expect(abs((facts.begins - .now).milliseconds) < 600_000)
    }

    @Test(arguments: [
        ("/O=Plant", nil), ("/CN=erp/CN=admin", nil), ("/CN=Prüfstand 7", "Prüfstand 7"),
        ("/CN=a/OU=b/O=c", "a"),
    ])
    func aCommonNameCountsWhereThereIsOne(_ subject: String, _ name: String?) throws {
        let made = try TestCertificate(subject)
        let facts = try #require(CertificateFacts(pem: made.certificate))
        // Without -utf8 openssl takes the bytes of a subject for Latin-1.
        if subject.contains("ü") {
            #expect(facts.commonName?.hasSuffix("fstand 7") == true)
        } else {
            #expect(facts.commonName == name)
        }
        #expect(facts.names.isEmpty)
    }

    @Test
    func aFileWithoutACertificateHasNoFacts() throws {
        let key = try TestCertificate().key
        #expect(CertificateFacts(pem: key) == nil)
        #expect(CertificateFacts(pem: []) == nil)
    }

    /// What is cut off or changed anywhere gives other names or none, and nothing worse.
    @Test
    func bytesThatAreNoCertificateGiveNoNames() throws {
        let pem = try TestCertificate("/CN=erp", "subjectAltName=DNS:box.lan").certificate
        let bytes = try #require(NIOSSLCertificate.fromPEMBytes(pem).first).toDERBytes()
        #expect(CommonNames(certificate: bytes).ofSubject == ["erp"])
        for length in 0..<bytes.count {
            #expect(CommonNames(certificate: Array(bytes.prefix(length))).ofSubject.isEmpty)
        }
        for index in bytes.indices {
            for value: UInt8 in [0, 0x30, 0x7F, 0x80, 0x84, 0xFF] {
                var changed = bytes
                changed[index] = value
                #expect(CommonNames(certificate: changed).ofSubject.count <= 1)
            }
        }
    }

    @Test(arguments: [
        [], [0x30], [0x1F, 0x01, 0x00], [0x30, 0x80], [0x30, 0x85, 0, 0, 0, 0, 0], [0x30, 0x82, 0x01],
        [0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF],
    ])
    func whatIsNotDERHasNoElement(_ bytes: [UInt8]) {
        #expect(elements(bytes).isEmpty)
    }

    @Test
    func lengthsOfSeveralBytesAreRead() {
        let content = [UInt8](repeating: 7, count: 300)
        let found = elements([0x04, 0x82, 0x01, 0x2C] + content + [0x05, 0x00])
        #expect(found.map(\.tag) == [4, 5])
        #expect(found.map { Array($0.content) } == [content, []])
    }

    private func elements(_ bytes: [UInt8]) -> [DERReader.Element] {
        var reader = DERReader(bytes[...])
        var found: [DERReader.Element] = []
        while let element = reader.next() { found.append(element) }
        return found
    }
}
