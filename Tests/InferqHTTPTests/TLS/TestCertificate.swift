import Foundation
import TestSupport

@testable import InferqHTTP

/// A certificate that signs itself, made with openssl, and its key.
struct TestCertificate {
    let certificate: [UInt8]
    let key: [UInt8]

    /// - Parameter extensions: as `subjectAltName=DNS:localhost`.
    init(_ subject: String = "/CN=localhost", _ extensions: String...) throws {
        let folder = try TemporaryFolder()
        defer { withExtendedLifetime(folder) {} }
        let (key, certificate) = (folder.path + "/key.pem", folder.path + "/certificate.pem")
        try ChildProcess(
            [
                "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-subj", subject, "-days", "30", "-set_serial", "0x0A10", "-keyout", key, "-out", certificate,
            ] + extensions.flatMap { ["-addext", $0] }
        ).wait()
        self.key = try Array(Data(contentsOf: URL(filePath: key)))
        self.certificate = try Array(Data(contentsOf: URL(filePath: certificate)))
    }

    var files: TLSIdentity.Files { TLSIdentity.Files(certificate: certificate, key: key) }
}
