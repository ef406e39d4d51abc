import NIOCore
import NIOPosix

#if canImport(Glibc)
    import Glibc
#endif

/// Where the server accepts connections, and who it takes those to be that connect there.
package struct Endpoint: Sendable, Equatable {
    /// An address of its own, or a socket that it was given.
    package enum Place: Sendable, Equatable {
        /// An IP address without brackets, or `localhost`. Port 0: the kernel chooses one.
        case tcp(host: String, port: Int)
        /// A path from the root.
        case unix(path: String)
        /// A listening socket that somebody else opened, and keeps open when this process is gone. It is never closed here.
        case inherited(descriptor: CInt)
    }

    package enum Role: Sendable, Equatable {
        case plain
        case tls
        /// A Unix socket that root alone can reach.
        case admin
    }

    package let place: Place
    package let role: Role

    package init(_ place: Place, _ role: Role = .plain) {
        self.place = place
        self.role = role
    }

    package static func tcp(host: String, port: Int) -> Endpoint { Endpoint(.tcp(host: host, port: port)) }
    package static func unix(path: String) -> Endpoint { Endpoint(.unix(path: path)) }

    /// Callers that may wait until they are accepted; the kernel's limit (somaxconn) may be lower.
    static let backlog: CInt = 4096

    /// - Throws: ``Unusable`` when the address cannot be bound.
    func bind(_ bootstrap: ServerBootstrap) async throws -> any Channel {
        do {
            switch place {
            case .tcp(let host, let port): return try await bootstrap.bind(host: host, port: port).get()
            case .unix(let path):
                let (descriptor, file) = try await UnixSocketFile.listen(
                    at: path, isPrivate: role == .admin, backlog: Self.backlog)
                do {
                    let channel = try await bootstrap.withBoundSocket(descriptor).get()
                    channel.closeFuture.whenComplete { _ in file.remove() }
                    return channel
                } catch {
                    file.remove()
                    throw error
                }
            case .inherited(let descriptor):
                // A copy: the channel closes what it was given, and the next server needs it again.
                let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 3)
                guard copy >= 0 else { throw IOError(errnoCode: errno, reason: "fcntl") }
                return try await bootstrap.withBoundSocket(copy).get()
            }
        } catch {
            throw Unusable(endpoint: self, reason: Self.reason(error), isInUse: Self.isInUse(error))
        }
    }

    private static func reason(_ error: any Error) -> String {
        switch error {
        case let error as IOError: String(cString: strerror(error.errnoCode))
        case UnixSocketFile.Occupied.bySocket: String(cString: strerror(EADDRINUSE))
        case UnixSocketFile.Occupied.byOtherFile: "a file that is not a socket is in its place"
        default: "\(error)"
        }
    }

    private static func isInUse(_ error: any Error) -> Bool {
        if case UnixSocketFile.Occupied.bySocket = error { true } else { false }
    }

    /// An address that cannot be listened on.
    package struct Unusable: Error, CustomStringConvertible {
        let endpoint: Endpoint
        let reason: String
        let isInUse: Bool

        package var description: String {
            switch endpoint.place {
            case .unix where !isInUse:
                "cannot listen on \(endpoint) (\(reason)): create its folder, remove what is in its place, or correct the "
                    + "setting listen"
            case .unix, .tcp, .inherited:
                "cannot listen on \(endpoint) (\(reason)): stop the program that listens there, or correct the setting listen"
            }
        }
    }
}

extension Endpoint: CustomStringConvertible {
    /// As the setting `listen` has it.
    package var description: String {
        switch (place, role) {
        case (_, .plain): "\(place)"
        case (_, .tls): "tls://\(place)"
        case (_, .admin): "admin+\(place)"
        }
    }
}

extension Endpoint.Place: CustomStringConvertible {
    package var description: String {
        switch self {
        case .tcp(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .unix(let path): "unix:\(path)"
        case .inherited(let descriptor): "descriptor \(descriptor)"
        }
    }
}
