/// Where a Redis is, and who this process is there.
package struct RedisAddress: Sendable, Equatable, CustomStringConvertible {
    package enum Place: Sendable, Equatable, CustomStringConvertible {
        case tcp(host: String, port: Int)
        case unix(path: String)

        package var description: String {
            switch self {
            case .tcp(let host, let port): "\(host):\(port)"
            case .unix(let path): "unix:\(path)"
            }
        }
    }

    package var place: Place
    /// The user of an ACL; nil: the default user.
    package var user: String?
    /// A secret: never log it.
    package var password: String?
    package var database = 0

    package init(_ place: Place) {
        self.place = place
    }

    /// As the setting `broker.redis` has it, with stars in place of the password.
    package var description: String {
        switch place {
        case .tcp(let host, let port):
            let secret = password.map { _ in "\(user ?? ""):***@" } ?? ""
            return "redis://\(secret)\(host.contains(":") ? "[\(host)]" : host):\(port)/\(database)"
        case .unix(let path):
            return "unix:\(path)\(database == 0 ? "" : "?db=\(database)")"
        }
    }
}
