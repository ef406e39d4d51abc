/// Who makes a request, and what they may do. Made once for each key and each kind of socket, and shared by all requests.
package final class Caller: Sendable {
    /// What a client may use of the gateway at most.
    package struct Limits: Sendable, Equatable {
        /// Empty: all.
        package var models: [String] = []
        package var maxPriority = 0
        /// Jobs; 0: no bound of its own.
        package var maxPending = 0
        /// Jobs; 0: no bound of its own.
        package var maxRunning = 0
        /// Of requests; nil: any.
        package var rate: Rate?

        package init() {}

        /// For those who have no key: the host's own users, and everyone in mode `open`.
        static let none: Limits = {
            var limits = Limits()
            limits.maxPriority = Job.priorities.upperBound
            return limits
        }()
    }

    /// The key that a request was made with.
    package struct Key: Sendable, Equatable {
        package let digest: KeyDigest
        /// From then on it is refused; nil: never.
        package let expires: Timestamp?

        package init(_ digest: KeyDigest, expires: Timestamp?) {
            self.digest = digest
            self.expires = expires
        }

        package var id: String { digest.id }
    }

    package let client: String
    package let scopes: Scopes
    package let limits: Limits
    /// Nil for a socket, a certificate, and in mode `open`.
    package let key: Key?
    /// From then on the right is over; nil: never.
    package let expires: Timestamp?
    /// The session that the page is signed in with; nil: another right.
    package let session: String?

    package convenience init(_ client: String, _ scopes: Scopes, _ limits: Limits, key: Key? = nil) {
        self.init(client, scopes, limits, key: key, expires: key?.expires, session: nil)
    }

    private init(
        _ client: String, _ scopes: Scopes, _ limits: Limits, key: Key?, expires: Timestamp?, session: String?
    ) {
        self.client = client
        self.scopes = scopes
        self.limits = limits
        self.key = key
        self.expires = expires
        self.session = session
    }

    /// Everyone, in mode `open`.
    package static let anonymous = Caller(ClientName.anonymous, .all, .none)
    /// A worker on another host, where it shows the token of a job: it sees what it runs.
    package static let worker = Caller("", .readAll, .none)
    /// Anyone who reaches the Unix socket for the host's users.
    package static let local = Caller(
        ClientName.local, [.submit, .read, .cancel, .readAll, .metrics], .none)
    /// Anyone who reaches the Unix socket for root.
    package static let admin = Caller(ClientName.admin, .all, .none)

    /// Of no one: what needs no right is all that they may do.
    package static let stranger = Caller("", [], .none)

    /// The same client with a right that is smaller, and that ends earlier.
    ///
    /// - Parameter session: where it is that of a session; nil: as before.
    package func narrowed(to scopes: Scopes, until end: Timestamp, session: String? = nil) -> Caller {
        Caller(
            client, self.scopes.intersection(scopes), limits, key: key, expires: min(expires ?? end, end),
            session: session ?? self.session)
    }

    package func isExpired(at now: Timestamp) -> Bool { expires.map { $0 <= now } ?? false }

    /// Whose jobs this one sees; nil: everyone's.
    package var view: String? { scopes.contains(.readAll) ? nil : client }

    package func mayUse(model: String) -> Bool {
        limits.models.isEmpty || limits.models.contains(model)
    }
}

/// Names of clients.
package enum ClientName {
    package static let anonymous = "anonymous"
    package static let local = "local"
    package static let admin = "admin"

    /// No key may have them.
    package static let reserved = [anonymous, local, admin]

    /// 1 to 64 letters, digits, dots, underscores and hyphens, the first one a letter or digit, and none of ``reserved``.
    package static func isValid(_ name: String) -> Bool {
        let bytes = name.utf8
        func isAlphanumeric(_ byte: UInt8) -> Bool {
            (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
        }
        return (1...64).contains(bytes.count) && bytes.first.map(isAlphanumeric) == true
            && bytes.allSatisfy { isAlphanumeric($0) || "._-".utf8.contains($0) } && !reserved.contains(name)
    }
}
