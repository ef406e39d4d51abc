import InferqHTTP

/// For whom a certificate stands: what clients write into a URL.
struct CertificateNames: Equatable {
    let names: [String]
    let addresses: [String]

    /// - Throws: ``ClientError`` for what can be no name, or no address.
    init(names: [String], addresses: [String]) throws(ClientError) {
        for name in names {
            let stem = name.hasPrefix("*.") ? String(name.dropFirst(2)) : name
            guard HostText.isName(stem) else {
                let advice =
                    HostText.isIPv4(name) || HostText.isIPv6(name)
                    ? "name an address with --address" : "write something like --name box.lan"
                throw ClientError(.usage, "--name \(name.quoted()) is not a host name; \(advice)")
            }
        }
        for address in addresses where !HostText.isIPv4(address) && !HostText.isIPv6(address) {
            throw ClientError(
                .usage, "--address \(address.quoted()) is not an IP address; write something like --address 192.168.1.5"
            )
        }
        guard !names.isEmpty || !addresses.isEmpty else {
            throw ClientError(
                .usage, "a certificate needs a name; write what clients call the host, for example --name box.lan")
        }
        self.names = names
        self.addresses = addresses
    }

    /// Those of a certificate that is there.
    init(of facts: CertificateFacts) throws(ClientError) {
        let addresses = facts.names.filter { HostText.isIPv4($0) || HostText.isIPv6($0) }
        try self.init(names: facts.names.filter { !addresses.contains($0) }, addresses: addresses)
    }

    var all: [String] { names + addresses }

    /// Those that the setting `hosts` has to list, or requests to them are 421. It takes no wildcards.
    var hosts: [String] {
        names.map { $0.lowercased() }.filter { $0 != "localhost" && !$0.hasPrefix("*.") }
    }

    /// At most 64 characters (RFC 5280): clients look at the other names, so any will do.
    var commonName: String {
        all.first { $0.utf8.count <= 64 } ?? "inferq"
    }

    /// As openssl's configuration has it.
    var alternativeNames: String {
        (names.map { "DNS:\($0)" } + addresses.map { "IP:\($0)" }).joined(separator: ",")
    }
}
