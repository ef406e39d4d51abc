import Glibc
import InferqCore
import InferqHTTP

/// A folder with an authority of one's own and the certificate that it has signed: `ca.pem`, `ca.key`, `cert.pem` and
/// `key.pem`.
///
/// For hosts without a network, and sites without an authority. Files are made beside the others, and take their places
/// when all of them are there.
struct CertificateFolder {
    static let usual = "/etc/inferq/tls"

    let path: String
    private let folder: LockedFolder

    var authority: String { path + "/ca.pem" }
    var authorityKey: String { path + "/ca.key" }
    var certificate: String { path + "/cert.pem" }
    var key: String { path + "/key.pem" }

    /// The authority is for as long as anybody will keep such a host: to replace it, every client has to be visited.
    private static let authorityDays = 3650
    /// Apple's systems take no certificate of a server that is valid for longer, also of an authority that was added by
    /// hand (support.apple.com/103769).
    private static let certificateDays = 825
    private static let day: Int64 = 86_400_000

    /// Opens the folder, and makes it if it is missing.
    ///
    /// - Throws: ``ClientError``.
    init(_ path: String) throws(ClientError) {
        guard path.hasPrefix("/"), !path.hasSuffix("/") else {
            throw ClientError(
                .usage, "--out \(path.quoted()) is not the absolute path of a folder; write it in full")
        }
        self.path = path
        folder = try LockedFolder(path, mode: 0o755, advice: Self.advice)
    }

    private static let advice = "name another folder with --out"

    static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    /// Whether there is an authority to sign with.
    var hasAuthority: Bool { Self.exists(authority) && Self.exists(authorityKey) }

    // MARK: Making

    /// Makes the authority, unless there is one, and a certificate.
    ///
    /// - Returns: the certificates.
    /// - Throws: ``ClientError``.
    func make(_ names: CertificateNames) throws(ClientError) -> (authority: CertificateFacts, own: CertificateFacts) {
        for file in [authority, authorityKey, certificate, key] where !hasAuthority && Self.exists(file) {
            throw ClientError(
                .usage,
                "\(file.visible()) already exists, without the authority that signed it (ca.pem, ca.key); name "
                    + "another folder with --out")
        }
        var template = Array((path + "/.making.XXXXXX").utf8CString)
        guard mkdtemp(&template) != nil else { throw Self.failure("changed", path) }
        let work = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let parts = Parts(work)
        defer { parts.remove() }
        let openssl = OpenSSL(folder: work)
        let isNew = !hasAuthority
        if isNew { try makeAuthority(parts, openssl) }
        let signer = isNew ? (parts.authority, parts.authorityKey) : (authority, authorityKey)
        let facts = try Self.facts(of: signer.0)
        try makeCertificate(names, by: signer, facts, parts, openssl)
        let own = try Self.facts(of: parts.certificate)
        if isNew {
            try take(parts.authorityKey, to: authorityKey, mode: 0o600)
            try take(parts.authority, to: authority, mode: 0o644)
        }
        // The group of the package's user reads the key; without it, and for others than root, the owner alone.
        let group = LockedFolder.serviceGroup
        try take(parts.key, to: key, mode: group == nil ? 0o600 : 0o640, group: group)
        try take(parts.certificate, to: certificate, mode: 0o644)
        guard folder.sync() else { throw Self.failure("synced", path) }
        return (facts, own)
    }

    private func makeAuthority(_ parts: Parts, _ openssl: OpenSSL) throws(ClientError) {
        let host = ThisHost.name.filter { $0.isASCII && ($0.isLetter || $0.isNumber || "-.".contains($0)) }
        try parts.configure(
            """
            [req]
            distinguished_name = name
            x509_extensions = authority
            prompt = no
            [name]
            CN = inferq authority of \(host.isEmpty ? "this host" : String(host.prefix(40)))
            [authority]
            basicConstraints = critical, CA:TRUE, pathlen:0
            keyUsage = critical, keyCertSign, cRLSign
            subjectKeyIdentifier = hash
            """
        )
        try openssl.run(
            [
                "req", "-x509", "-config", parts.configuration, "-days", "\(Self.authorityDays)", "-set_serial",
                Self.serial(),
            ]
                + Self.newKey(parts.authorityKey) + ["-out", parts.authority],
            making: "an authority")
    }

    private func makeCertificate(
        _ names: CertificateNames,
        by signer: (certificate: String, key: String),
        _ authority: CertificateFacts,
        _ parts: Parts,
        _ openssl: OpenSSL
    ) throws(ClientError) {
        // One that outlives its authority is refused from that day on.
        let days = min(Self.certificateDays, Int((authority.ends - .now).milliseconds / Self.day))
        guard days > 0 else {
            throw ClientError(
                .usage,
                "the authority \(signer.certificate.visible()) expired on \(authority.ends.day); move all files of the "
                    + "folder away, run inferq cert init, and give clients the new ca.pem")
        }
        try parts.configure(
            """
            [req]
            distinguished_name = name
            prompt = no
            [name]
            CN = \(names.commonName)
            [server]
            basicConstraints = critical, CA:FALSE
            keyUsage = critical, digitalSignature
            extendedKeyUsage = serverAuth
            subjectKeyIdentifier = hash
            authorityKeyIdentifier = keyid
            subjectAltName = \(names.alternativeNames)
            """
        )
        try openssl.run(
            ["req", "-new", "-config", parts.configuration] + Self.newKey(parts.key) + ["-out", parts.request],
            making: "a key")
        try openssl.run(
            [
                "x509", "-req", "-sha256", "-in", parts.request, "-CA", signer.certificate, "-CAkey", signer.key,
                "-set_serial", Self.serial(), "-days", "\(days)", "-extfile", parts.configuration, "-extensions",
                "server",
                "-out", parts.certificate,
            ],
            making: "a certificate")
    }

    /// ECDSA on P-256: every client knows it, and a handshake costs a tenth of that with RSA.
    private static func newKey(_ file: String) -> [String] {
        ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-sha256", "-keyout", file]
    }

    /// Positive, and not to be guessed (RFC 5280, section 4.1.2.2).
    private static func serial() -> String {
        "0x1" + String(UInt64.random(in: .min ... .max), radix: 16)
            + String(UInt32.random(in: .min ... .max), radix: 16)
    }

    static func facts(of file: String) throws(ClientError) -> CertificateFacts {
        do throws(Refusal) {
            guard let bytes = try SettingsFiles.contents(of: file, largest: SettingsFiles.largest) else {
                throw Refusal("there is no such file", "make it with inferq cert init")
            }
            guard let facts = CertificateFacts(pem: bytes) else {
                throw Refusal("holds no certificate in PEM", "name a file with -----BEGIN CERTIFICATE-----")
            }
            return facts
        } catch {
            throw ClientError(.usage, "\(file.visible()): \(error.what); \(error.advice)")
        }
    }

    // MARK: Files

    /// What is made, until it takes its place.
    private struct Parts {
        private let folder: String

        init(_ folder: String) {
            self.folder = folder
        }

        var authority: String { folder + "/ca.pem" }
        var authorityKey: String { folder + "/ca.key" }
        var certificate: String { folder + "/cert.pem" }
        var key: String { folder + "/key.pem" }
        var request: String { folder + "/request.pem" }
        var configuration: String { folder + "/openssl.cnf" }

        func configure(_ text: String) throws(ClientError) {
            guard let file = fopen(configuration, "we") else { throw CertificateFolder.failure("made", configuration) }
            let isWritten = fputs(text + "\n", file) >= 0
            guard fclose(file) == 0, isWritten else { throw CertificateFolder.failure("written", configuration) }
        }

        func remove() {
            for file in [authority, authorityKey, certificate, key, request, configuration, folder + "/openssl.log"] {
                unlink(file)
            }
            rmdir(folder)
        }
    }

    private func take(_ part: String, to target: String, mode: mode_t, group: gid_t? = nil) throws(ClientError) {
        let file = open(part, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw Self.failure("opened", part) }
        defer { close(file) }
        if let group, fchown(file, 0, group) != 0 { throw Self.failure("given to its group", part) }
        guard fchmod(file, mode) == 0, fsync(file) == 0, rename(part, target) == 0 else {
            throw Self.failure("created", target)
        }
    }

    fileprivate static func failure(_ what: String, _ name: String) -> ClientError {
        .ofFile(name, what, advice)
    }
}
