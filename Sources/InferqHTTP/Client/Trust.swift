import Glibc
import NIOSSL
import Synchronization

/// Whom a client believes who a server is: read when the first `https` URL is called, since most sites have none.
package final class Trust: Sendable {
    private struct Known {
        let context: NIOSSLContext
        /// What its file was then.
        let stamp: Stamp?
    }

    /// Another file under the same name has another one: certificates are renewed by moving a file there.
    private struct Stamp: Equatable {
        let inode: ino_t
        let size: off_t
        let seconds: time_t
        let nanoseconds: Int

        init?(of path: String) {
            var status = stat()
            guard stat(path, &status) == 0 else { return nil }
            (inode, size) = (status.st_ino, status.st_size)
            (seconds, nanoseconds) = (status.st_mtim.tv_sec, status.st_mtim.tv_nsec)
        }
    }

    private let roots: NIOSSLTrustRoots
    /// By the file of a private authority.
    private let known = Mutex<[String: Known]>([:])

    init(_ roots: NIOSSLTrustRoots = .default) {
        self.roots = roots
    }

    /// Whether a file can be read and holds certificates of those who sign others'.
    package static func canRead(_ ca: String) -> Bool {
        do {
            _ = try Trust().context(ca)
            return true
        } catch {
            return false
        }
    }

    /// - Parameter ca: a PEM file of those whose signatures count; empty: those that this host trusts.
    /// - Throws: ``HTTPClientError/unreadableCA(_:)``.
    func context(_ ca: String) throws(HTTPClientError) -> NIOSSLContext {
        let stamp = ca.isEmpty ? nil : Stamp(of: ca)
        return try known.withLock { known throws(HTTPClientError) in
            if let found = known[ca], found.stamp == stamp { return found.context }
            do {
                var configuration = TLSConfiguration.makeClientConfiguration()
                configuration.trustRoots =
                    ca.isEmpty ? roots : .certificates(try NIOSSLCertificate.fromPEMFile(ca))
                let context = try NIOSSLContext(configuration: configuration)
                known[ca] = Known(context: context, stamp: stamp)
                return context
            } catch {
                throw .unreadableCA(ca)
            }
        }
    }
}
