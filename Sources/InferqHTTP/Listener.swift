import NIOCore
import NIOPosix

/// Where the server accepts connections: an address of its own, or a socket that it was given.
package enum Listener: Sendable, Equatable {
    case tcp(host: String, port: Int)
    case unix(path: String)
    /// A listening socket that somebody else opened, and keeps open when this process is gone.
    case inherited(descriptor: CInt)

    /// - Throws: ``Unusable`` when the address cannot be bound.
    func bind(_ bootstrap: ServerBootstrap) async throws -> any Channel {
        do {
            switch self {
            case .tcp(let host, let port): return try await bootstrap.bind(host: host, port: port).get()
            case .unix(let path):
                return try await bootstrap.bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true).get()
            case .inherited(let descriptor): return try await bootstrap.withBoundSocket(descriptor).get()
            }
        } catch {
            throw Unusable(listener: self, reason: (error as? IOError).map { "errno \($0.errnoCode)" } ?? "\(error)")
        }
    }

    /// An address that cannot be listened on.
    package struct Unusable: Error, CustomStringConvertible {
        let listener: Listener
        let reason: String

        package var description: String {
            "cannot listen on \(listener) (\(reason)): is another program there, or the address not this host's?"
        }
    }
}

extension Listener: CustomStringConvertible {
    package var description: String {
        switch self {
        case .tcp(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .unix(let path): "unix:\(path)"
        case .inherited(let descriptor): "descriptor \(descriptor)"
        }
    }
}
