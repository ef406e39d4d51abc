import Foundation
import Glibc
import InferqCore
import InferqHTTP
import InferqStore

/// What the doctor looks at of who may come in: listeners that other hosts reach, and the files of keys.
struct AccessExamination {
    let findings: [Finding]
    /// Nil where the files may not be read or are broken.
    let keys: KeyRing?

    init(_ settings: Settings, now: Timestamp = .now) {
        var findings = [Self.listeners(settings)].compactMap { $0 }
        let folder = settings.access.keys
        var status = stat()
        guard stat(folder, &status) == 0 else {
            self.findings = findings
            keys = KeyRing()
            return
        }
        guard access(folder, R_OK | X_OK) == 0 else {
            findings.append(
                .note("keys", "\(folder) is not readable by you; run this as root to have the keys checked"))
            self.findings = findings
            keys = nil
            return
        }
        let problems = ProblemList()
        let files = (SettingsFiles.names(in: folder, problems: problems) ?? []).map { "\(folder)/\($0)" }
        findings += ([folder] + files).compactMap(Self.permissions)
        let ring = KeyFolder(folder).read(problems: problems)
        findings += problems.all.map { .wrong("keys", "\($0)") }
        findings += ring.clients.flatMap { Self.client($0, now) }
        if !findings.contains(where: { $0.verdict != .ok && $0.subject == "keys" }), !ring.clients.isEmpty {
            let count = ring.clients.reduce(0) { $0 + $1.keys.count }
            let clients = ring.clients.count == 1 ? "1 client" : "\(ring.clients.count) clients"
            findings.append(.ok("keys", "\(clients), \(count == 1 ? "1 key" : "\(count) keys")"))
        }
        self.findings = findings
        keys = problems.all.isEmpty ? ring : nil
    }

    // MARK: Listeners

    /// Nil where other hosts reach none, or show a key.
    private static func listeners(_ settings: Settings) -> Finding? {
        guard settings.access.mode == .open else { return nil }
        var addresses: [String] = []
        if case .process(let process) = StoreHolder.find(settings.store.path) {
            addresses = ListeningSockets.openAddresses(of: process)
        }
        // Sockets from systemd replace the list, so it counts only if nothing runs.
        if addresses.isEmpty { addresses = settings.listen.compactMap(NetworkReach.address) }
        guard !addresses.isEmpty else { return nil }
        let places = addresses.joined(separator: " and ")
        return .note(
            "access",
            "everyone who reaches \(places) may submit, read and cancel; make keys (inferq key add NAME) and set access.mode "
                + "to \"keys\"")
    }

    // MARK: Keys

    /// A hash is no secret as a password's is, but names and limits of clients are no one else's business.
    private static func permissions(_ path: String) -> Finding? {
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & 0o007 != 0 else { return nil }
        let mode = status.st_mode & S_IFMT == S_IFDIR ? "750" : "640"
        return .wrong("keys", "others may use \(path); chmod \(mode) it, and chown it to root:inferq")
    }

    private static func client(_ client: Client, _ now: Timestamp) -> [Finding] {
        let isOut =
            !client.keys.isEmpty && client.certificate == nil
            && client.keys.allSatisfy { key in
                key.expires.map { $0 <= now } ?? false
            }
        let rotate = "inferq key rotate \(client.name)"
        if isOut {
            return [.wrong("keys", "all keys of \(client.name) have expired; give it another one with \(rotate)")]
        }
        // One that holds longer makes the end of the others harmless.
        let last = client.keys.map { $0.expires ?? .latest }.max() ?? .latest
        return client.keys.compactMap { key in
            guard let expires = key.expires, expires < now + Finding.notice else { return nil }
            let what = "the key \(key.id) of \(client.name)"
            if expires <= now {
                return .note("keys", "\(what) has expired; remove it with inferq key revoke \(client.name) \(key.id)")
            }
            let advice =
                last < now + Finding.notice ? rotate : "the client has another key, which it should use by then"
            return .note("keys", "\(what) expires at \(expires.rfc3339); \(advice)")
        }
    }
}
