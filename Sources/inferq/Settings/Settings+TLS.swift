import InferqCore
import InferqHTTP

extension Settings {
    /// Who the gateway is to clients that speak TLS, read from the files that the settings name; nil where they name none.
    ///
    /// - Throws: what is wrong with the files.
    func identity() throws(SettingsProblems) -> TLSIdentity? {
        guard tls.isConfigured else { return nil }
        do throws(SettingsProblem) {
            let files = TLSIdentity.Files(
                certificate: try Self.bytes(of: tls.certificate, "tls.certificate"),
                key: try Self.bytes(of: tls.key, "tls.key"),
                clientCA: tls.clientCA.isEmpty ? nil : try Self.bytes(of: tls.clientCA, "tls.client_ca")
            )
            do throws(TLSIdentity.Unusable) {
                return try TLSIdentity.of(files, tls.minVersion)
            } catch {
                let (path, place) =
                    switch error.file {
                    case .certificate: (tls.certificate, "tls.certificate")
                    case .key: (tls.key, "tls.key")
                    case .clientCA: (tls.clientCA, "tls.client_ca")
                    }
                throw SettingsProblem(path, at: place, Refusal(error.what, error.advice))
            }
        } catch {
            throw SettingsProblems(all: [error])
        }
    }

    /// What is wrong with the files of authorities that models name. At a start it is said, and keeps no other model from work.
    var authorityProblems: [SettingsProblem] {
        modelList.filter { !$0.ca.isEmpty && !Trust.canRead($0.ca) }.map { model in
            SettingsProblem(
                model.ca, at: "models.\(model.name).ca",
                Refusal("it cannot be read, or holds no certificate", "name a PEM file of those who sign the server's"))
        }
    }

    /// For a new configuration, which may be refused.
    ///
    /// - Throws: ``authorityProblems``, if there are any.
    func checkAuthorities() throws(SettingsProblems) {
        let problems = authorityProblems
        if !problems.isEmpty { throw SettingsProblems(all: problems) }
    }

    private static func bytes(of path: String, _ place: String) throws(SettingsProblem) -> [UInt8] {
        do throws(Refusal) {
            guard let bytes = try SettingsFiles.contents(of: path, largest: SettingsFiles.largest) else {
                throw Refusal("there is no such file", "correct the path, or make one with inferq cert init")
            }
            return bytes
        } catch {
            throw SettingsProblem(path, at: place, error)
        }
    }
}

extension CertificateFacts {
    /// What is wrong with the certificate's time; nil: nothing is.
    func trouble(at now: Timestamp) -> String? {
        if ends <= now {
            return "the TLS certificate expired on \(ends.day), and clients refuse it; renew it and reload the gateway"
        }
        if begins > now {
            return
                "the TLS certificate is not valid before \(begins.day), and clients refuse it until then; look at the clock"
        }
        return nil
    }

    /// Whole days that are left.
    func days(at now: Timestamp) -> Int {
        Int((ends - now).milliseconds / 86_400_000)
    }
}

extension Timestamp {
    /// `2027-02-01`, in UTC.
    var day: String { String(rfc3339.prefix(10)) }
}
