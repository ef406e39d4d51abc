import ArgumentParser
import Glibc
import InferqCore
import InferqHTTP

/// `inferq cert`: an authority of one's own and the gateway's certificate, for hosts without another.
struct CertCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cert",
        abstract: "Make, show and renew the certificate for TLS.",
        discussion: """
            It is signed by an authority of your own, which clients have to be given: --ca of inferq, --cacert of curl. The command \
            runs openssl. Exit codes: 0 done, 1 the certificate that is shown cannot be used, 64 wrong usage, 71 openssl is \
            missing or fails, 73 a file cannot be written, 78 the configuration is wrong.
            """,
        subcommands: [InitCertificate.self, ShowCertificate.self, RenewCertificate.self]
    )
}

struct InitCertificate: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "init",
        abstract: "Make an authority, unless there is one, and a certificate that it signs.",
        discussion: """
            Makes ca.pem, ca.key, cert.pem and key.pem, and prints the lines for the configuration. The authority is valid \
            for ten years, the certificate for 825 days, after which Apple's systems would refuse it.
            """
    )

    @Option(help: ArgumentHelp("A host name that clients use; may be repeated.", valueName: "name"))
    var name: [String] = []

    @Option(help: ArgumentHelp("An IP address that clients use; may be repeated.", valueName: "address"))
    var address: [String] = []

    @Option(help: ArgumentHelp("The folder for the files.", valueName: "folder"))
    var out = CertificateFolder.usual

    @OptionGroup
    var options: ConfigurationOptions

    func perform() async throws {
        let names = try CertificateNames(names: name, addresses: address)
        let folder = try CertificateFolder(out)
        let made = try folder.make(names)
        StandardError.write(
            "made \(folder.certificate.visible()) for \(names.all.joined(separator: ", ")), valid until "
                + "\(made.own.ends.day); its authority \(folder.authority.visible()) is valid until \(made.authority.ends.day)"
        )
        StandardError.write("for the configuration, with \"tls://0.0.0.0:8443\" in listen or a socket unit named tls:")
        if !names.hosts.isEmpty {
            let hosts = names.hosts.map { "\"\($0)\"" }.joined(separator: ", ")
            try StandardOutput.write(line: "hosts = [\(hosts)]")
        }
        for line in ["[tls]", "certificate = \"\(folder.certificate)\"", "key = \"\(folder.key)\""] {
            try StandardOutput.write(line: line)
        }
        let host = names.all.first.map { $0.contains(":") ? "[\($0)]" : $0 } ?? ""
        StandardError.write("clients need a copy of ca.pem:")
        StandardError.write("  inferq status --url https://\(host):8443 --ca ca.pem")
        StandardError.write("  curl --cacert ca.pem https://\(host):8443/livez")
        StandardError.write("keep ca.key on this host: anyone who has it can pose as the gateway to these clients")
    }
}

struct RenewCertificate: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "renew",
        abstract: "Make a new certificate and key for the same names, and have the gateway load them.",
        discussion: "It needs the authority that `inferq cert init` made. Clients notice nothing."
    )

    @Option(
        help: ArgumentHelp(
            "The folder with the files; by default that of tls.certificate, or /etc/inferq/tls.", valueName: "folder"))
    var out: String?

    @OptionGroup
    var options: ConfigurationOptions

    func perform() async throws {
        let settings = try options.settings()
        let certificate = settings.tls.certificate
        let path = out ?? certificate.lastIndex(of: "/").map { String(certificate[..<$0]) } ?? CertificateFolder.usual
        guard CertificateFolder.exists(path) else {
            throw ClientError(.usage, "there is no folder \(path.visible()); make a certificate with inferq cert init")
        }
        let folder = try CertificateFolder(path)
        guard folder.hasAuthority else {
            let advice = "renew the certificate where it was made, and reload the gateway"
            throw ClientError(.usage, "\(path.visible()) has no authority to sign with (ca.pem and ca.key); \(advice)")
        }
        let names = try CertificateNames(of: CertificateFolder.facts(of: folder.certificate))
        let made = try folder.make(names)
        StandardError.write(
            "made \(folder.certificate.visible()) for \(names.all.joined(separator: ", ")), valid until "
                + made.own.ends.day)
        StandardError.write(GatewayReload.ask(store: settings.store.path).sentence(of: "certificate"))
    }
}

struct ShowCertificate: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show the names, issuer and expiry of the configured certificate.")

    @OptionGroup
    var options: ConfigurationOptions

    func perform() async throws {
        let settings = try options.settings()
        guard settings.tls.isConfigured else {
            let advice = "set tls.certificate and tls.key; inferq cert init makes a pair"
            throw ClientError(.usage, "no certificate is configured; \(advice)")
        }
        let now = Timestamp.now
        let facts = try CertificateFolder.facts(of: settings.tls.certificate)
        let trouble = facts.trouble(at: now)
        let days = facts.days(at: now)
        let rest =
            trouble == nil
            ? "\(days) \(days == 1 ? "day" : "days") left" : facts.ends <= now ? "expired" : "not valid yet"
        var problem: String?
        var key = "matches it"
        if access(settings.tls.key, R_OK) != 0 && errno == EACCES {
            key = "is not readable by you"
        } else {
            do throws(SettingsProblems) {
                _ = try settings.identity()
            } catch {
                problem = error.description
                key = "cannot be used"
            }
        }
        for (name, value) in [
            ("file", settings.tls.certificate), ("names", (facts.names + facts.uris).joined(separator: ", ")),
            ("issuer", facts.issuer), ("valid", "\(facts.begins.day) to \(facts.ends.day), \(rest)"),
            ("serial", facts.serial), ("key", key),
        ] {
            let padding = String(repeating: " ", count: 8 - name.count)
            try StandardOutput.write(line: name + padding + (value.isEmpty ? "-" : value.visible()))
        }
        for sentence in [problem, trouble].compactMap({ $0 }) { StandardError.write("inferq: \(sentence)") }
        if problem != nil || trouble != nil { throw ExitCode(1) }
    }
}
