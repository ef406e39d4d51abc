import Glibc
import InferqCore
import InferqHTTP

/// What the doctor looks at in the certificate for TLS.
enum CertificateExamination {
    /// None if no certificate is configured.
    static func findings(_ settings: Settings, now: Timestamp) -> [Finding] {
        guard settings.tls.isConfigured else { return [] }
        let subject = "certificate"
        for file in [settings.tls.certificate, settings.tls.key] where access(file, R_OK) != 0 && errno == EACCES {
            return [.note(subject, "\(file) is not readable by you; run this as root")]
        }
        let facts: CertificateFacts
        do throws(SettingsProblems) {
            guard let identity = try settings.identity() else { return [] }
            facts = identity.certificate
        } catch {
            return error.all.map { .wrong(subject, $0.description) }
        }
        var findings: [Finding] = []
        var status = stat()
        if stat(settings.tls.key, &status) == 0, status.st_mode & 0o007 != 0 {
            findings.append(.wrong("permissions", "others may read \(settings.tls.key); chmod o= it"))
        }
        let days = facts.days(at: now)
        let text = "\(settings.tls.certificate) expires on \(facts.ends.day), in \(days) days"
        if let trouble = facts.trouble(at: now) {
            findings.append(.wrong(subject, trouble))
        } else if facts.ends < now + Finding.notice {
            findings.append(.note(subject, "\(text); renew it (inferq cert renew), or find out why it was not renewed"))
        } else {
            findings.append(.ok(subject, text))
        }
        // A certificate of a whole company may have names of other hosts, so it is no fault.
        let strange = (try? CertificateNames(of: facts).hosts.filter { !settings.http.hosts.contains($0) }) ?? []
        if !strange.isEmpty {
            let advice = "list what clients call this host in the setting hosts"
            let names = strange.joined(separator: ", ")
            findings.append(.note(subject, "requests to \(names) are answered 421; \(advice)"))
        }
        return findings
    }
}
