import NIOSSL
import Synchronization

/// The certificates that this host trusts, read when the first `https` URL is called: most sites have none.
final class Trust: Sendable {
    /// They cannot be read.
    struct Unreadable: Error {}

    private let roots: NIOSSLTrustRoots
    private let known = Mutex<NIOSSLContext?>(nil)

    init(_ roots: NIOSSLTrustRoots = .default) {
        self.roots = roots
    }

    func context() throws(Unreadable) -> NIOSSLContext {
        try known.withLock { known throws(Unreadable) in
            if let known { return known }
            do {
                var configuration = TLSConfiguration.makeClientConfiguration()
                configuration.trustRoots = roots
                let context = try NIOSSLContext(configuration: configuration)
                known = context
                return context
            } catch {
                throw Unreadable()
            }
        }
    }
}
