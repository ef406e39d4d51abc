/// What the listeners that speak TLS show and ask for.
package struct TLSSettings: Sendable, Equatable {
    package enum Version: String, Sendable, CaseIterable {
        case tls12 = "1.2"
        case tls13 = "1.3"
    }

    /// A PEM file: the certificate, then those between it and the root.
    package var certificate = ""
    /// A PEM file.
    package var key = ""
    /// A PEM file of those who sign clients' certificates; empty: none is asked for.
    package var clientCA = ""
    /// 1.2: RFC 9325 still allows it with the cipher suites that are offered here, and older clients know nothing newer.
    package var minVersion = Version.tls12

    package init() {}

    package var isConfigured: Bool { !certificate.isEmpty && !key.isEmpty }
}
