/// One client as the files of keys have it.
package struct Client: Sendable, Equatable {
    package let name: String
    package var keys: [Caller.Key] = []
    package var scopes: Scopes = []
    package var limits = Caller.Limits()
    /// The SAN URI or the CN of a certificate that stands for a key; nil: none does.
    package var certificate: String?

    package init(_ name: String) {
        self.name = name
    }
}

/// All clients and their keys, for one look-up a request. It holds digests alone.
package struct KeyRing: Sendable, Equatable {
    /// By name.
    package let clients: [Client]
    private let byDigest: [KeyDigest: Caller]
    private let byID: [String: Caller]
    private let byCertificate: [String: Caller]

    /// Of two keys with the same digest, id or certificate, the first one counts; anyone who reads the files refuses the second.
    package init(_ clients: [Client] = []) {
        self.clients = clients.sorted { $0.name < $1.name }
        var byDigest: [KeyDigest: Caller] = [:]
        var byID: [String: Caller] = [:]
        var byCertificate: [String: Caller] = [:]
        for client in clients {
            for key in client.keys where byDigest[key.digest] == nil {
                let caller = Caller(client.name, client.scopes, client.limits, key: key)
                byDigest[key.digest] = caller
                if byID[key.id] == nil { byID[key.id] = caller }
            }
            if let name = client.certificate, byCertificate[name] == nil {
                byCertificate[name] = Caller(client.name, client.scopes, client.limits)
            }
        }
        self.byDigest = byDigest
        self.byID = byID
        self.byCertificate = byCertificate
    }

    /// Anyone who has this key, whether it has expired or not.
    package func caller(with digest: KeyDigest) -> Caller? { byDigest[digest] }

    /// - Parameter id: ``KeyDigest/id``.
    package func caller(withKey id: String) -> Caller? { byID[id] }

    /// - Parameter names: those in a certificate that was checked.
    package func caller(certified names: [String]) -> Caller? {
        names.lazy.compactMap { byCertificate[$0] }.first
    }

    package static func == (one: KeyRing, other: KeyRing) -> Bool { one.clients == other.clients }
}
