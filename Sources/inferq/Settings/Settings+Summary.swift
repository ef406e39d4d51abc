import InferqCore
import InferqHTTP
import Logging

extension Settings {
    /// What `inferq check` prints when all is right: a line per subject, secrets masked.
    func summary() -> String {
        var lines = [
            ("listen", listen.isEmpty ? "sockets from systemd" : listen.map(\.description).joined(separator: ", ")),
            ("public url", publicURL.isEmpty ? "that of the first TCP listener" : publicURL),
        ]
        if !http.hosts.isEmpty { lines.append(("hosts", http.hosts.joined(separator: ", "))) }
        if !http.origins.isEmpty { lines.append(("origins", http.origins.joined(separator: ", "))) }
        if tls.isConfigured {
            let clients = tls.clientCA.isEmpty ? "" : ", clients' certificates from \(tls.clientCA)"
            lines.append(("tls", "\(tls.certificate), TLS \(tls.minVersion.rawValue) and newer\(clients)"))
        }
        lines += [
            ("access", accessLine),
            ("limits", "\(http.connections) connections, \(bodies)"),
            ("store", storeLine),
            ("broker", brokerLine),
            ("log", "\(logLevel.rawValue), \(logFormat.rawValue)"),
        ]
        for model in models.values.sorted(by: { $0.name < $1.name }) {
            lines.append(("model", "\(model.name): \(Self.line(model))"))
        }
        let rows = lines.map { name, text in
            name + String(repeating: " ", count: 12 - name.count) + text.visible()
        }
        return rows.joined(separator: "\n")
    }

    /// What is allowed and probably not meant, one sentence each.
    var warnings: [String] { warningsOfFiles + warningsOfKeys }

    /// Those that ``keys`` have no part in.
    var warningsOfFiles: [String] {
        var sentences: [String] = []
        if models.isEmpty {
            sentences.append(
                "no model is configured, so every submit is refused; add a table [models.NAME] with its url")
        }
        let far = models.values.filter(\.url.isEmpty).map(\.name).sorted()
        if let first = far.first, publicURL.isEmpty {
            sentences.append(
                "models.\(first) is served by workers on other hosts, and public_url is empty; set it to the address at "
                    + "which they reach this gateway"
            )
        }
        if broker.kind == .ring && broker.redis != nil {
            sentences.append(
                "broker.redis is set but not used, since broker.kind is \"ring\"; choose \"auto\" to use it")
        }
        return sentences
    }

    /// Those of keys that were read.
    var warningsOfKeys: [String] {
        var sentences: [String] = []
        if access.mode == .keys && keys.clients.isEmpty {
            sentences.append(
                "access.mode is \"keys\", and \(access.keys) holds none, so no one can get in over the network; create one "
                    + "with inferq key add NAME")
        }
        for client in keys.clients {
            for name in client.limits.models where models[name] == nil {
                sentences.append("keys.\(client.name).models names \(name), but no model has that name")
            }
        }
        return sentences
    }

    private var accessLine: String {
        switch (access.mode, access.openNetwork) {
        case (.open, false): return "open: anyone who reaches it may do everything"
        case (.open, true): return "open, to other hosts too: anyone who reaches it may do everything"
        case (.keys, _):
            let count = keys.clients.count
            let hashes = keys.clients.reduce(0) { $0 + $1.keys.count }
            let clients = count == 1 ? "1 client" : "\(count) clients"
            return "keys: \(clients), \(hashes == 1 ? "1 key" : "\(hashes) keys") in \(access.keys)"
        }
    }

    private var bodies: String {
        let size = ByteSizeText.format
        return "bodies up to \(size(http.maxBody)), \(size(http.bodiesInFlight)) in flight"
    }

    private var storeLine: String {
        let age = retention.age == .zero ? "forever" : "for \(DurationText.format(retention.age))"
        let size = ByteSizeText.format(retention.maxBytes)
        let profile = store.profile == .standard ? "" : ", profile \(store.profile.rawValue)"
        return
            "\(store.path)\(profile), synchronous \(store.synchronous.rawValue), keeps ended jobs \(age) and up to \(size)"
    }

    private var brokerLine: String {
        let ring = "ring of \(broker.ringCapacity) slots"
        switch (broker.kind, broker.redis) {
        case (.auto, nil): return "auto: \(ring), no Redis is configured"
        case (.auto, let redis?): return "auto: \(redis), with a \(ring) in its place while it is away"
        case (.redis, let redis?): return "\(redis)"
        case (.ring, _), (.redis, nil): return ring
        }
    }

    private static func line(_ model: ModelSettings) -> String {
        var parts = [
            model.url.isEmpty ? "served by workers on other hosts" : masked(model.url),
            "\(model.concurrency) at a time", "\(DurationText.format(model.timeout)) each",
            model.maxAttempts == 1 ? "1 attempt" : "\(model.maxAttempts) attempts",
        ]
        if !model.headers.isEmpty {
            parts.append("adds " + model.headers.map { "\($0.name): ***" }.joined(separator: ", "))
        }
        if !model.health.isEmpty { parts.append("health \(model.health)") }
        return parts.joined(separator: ", ")
    }

    /// A URL without what may be secret in it: the password, or all before the @ if there is none, and the query.
    static func masked(_ url: String) -> String {
        // Where it is not known what is what, all of it may be secret.
        guard let address = try? WebAddress(url, example: "") else { return "***" }
        let user = address.credentials.map { credentials in
            let name = credentials.firstIndex(of: ":").map { credentials[..<$0] } ?? ""
            return "\(name):***@"
        }
        let port = address.port.map { ":\($0)" }
        let query = address.query.map { _ in "?***" }
        return "\(address.scheme)://\(user ?? "")\(address.host)\(port ?? "")\(address.path)\(query ?? "")"
    }
}
