import Glibc
import InferqHTTP
import NIOCore
import NIOPosix
import NIOSSL

/// What the HTTP client reports when there is no connection, or none any more, in words. No text of a library is shown:
/// those are for its programmers.
struct ConnectionFailure {
    /// In brackets behind the address: `Connection refused`.
    let reason: String
    let cause: ClientError.Cause
    /// What to do; nil if there is nothing better to say than what holds for the cause.
    private let advice: String?

    private init(_ cause: ClientError.Cause, _ reason: String, advice: String? = nil) {
        self.cause = cause
        self.reason = reason
        self.advice = advice
    }

    private static let untrusted = "its certificate is not trusted here"

    /// Whether no one who is trusted here has signed the server's certificate.
    var isUntrusted: Bool { reason == Self.untrusted }

    init(_ error: any Error) {
        self =
            switch error {
            case let error as NIOConnectionError: Self.connection(error)
            case let error as IOError: Self.system(error.errnoCode)
            case let error as HTTPClientError: Self.client(error)
            case let error as NIOSSLError: Self.encryption(error)
            case is NIOSSLExtraError:
                Self(.unreadable, "its certificate is for another name", advice: "use the name that is in it")
            case ChannelError.connectTimeout: Self(.unreachable, "no answer in time")
            default: Self(.broken, "it was interrupted")
            }
    }

    private static func connection(_ error: NIOConnectionError) -> ConnectionFailure {
        if let first = error.connectionErrors.first { return ConnectionFailure(first.error) }
        for case let error as IOError in [error.dnsAError, error.dnsAAAAError] where error.errnoCode == EMFILE {
            return system(EMFILE)
        }
        return Self(.unreachable, "the host name is unknown")
    }

    private static func system(_ code: CInt) -> ConnectionFailure {
        let reason = String(cString: strerror(code))
        switch code {
        case EMFILE, ENFILE: return Self(.host, reason)
        case EACCES, EPERM:
            return Self(.unreachable, reason, advice: "run this as a user who may open it, or name another with --url")
        default: return Self(refusals.contains(code) ? .unreachable : .broken, reason)
        }
    }

    private static func client(_ error: HTTPClientError) -> ConnectionFailure {
        switch error {
        case .noConnection(let reason), .reset(let reason): ConnectionFailure(reason)
        case .timedOut: Self(.unreachable, "no answer in time")
        case .silent: Self(.broken, "nothing arrived for too long")
        case .answerTooLong: Self(.broken, "its answer is too long")
        case .bodyLengthChanged: Self(.broken, "the length of what was to be sent changed in the meantime")
        case .unreadableCA(""): Self(.broken, "the certificates that this host trusts cannot be read")
        case .unreadableCA(let file): Self(.broken, "\(file.quoted()) cannot be read, or holds no certificate in PEM")
        case .closedEarly, .cutOff, .shutDown, .unreadableURL: Self(.broken, "it was closed")
        case .headTooLarge, .notHTTP:
            Self(
                .unreadable, "it does not speak HTTP",
                advice: "write https:// if it speaks TLS, or name another with --url"
            )
        }
    }

    private static func encryption(_ error: NIOSSLError) -> ConnectionFailure {
        // The library tells its causes by name in this text alone.
        let text = String(describing: error)
        let isPlain = ["WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST"].contains { text.contains($0) }
        if isPlain {
            return Self(.unreadable, "it does not speak TLS", advice: "write http://, or name another with --url")
        }
        if text.contains("CERTIFICATE_VERIFY_FAILED") || text.contains("unableToValidateCertificate") {
            let advice = "name its CA's file with --ca, or add that CA to those that this host trusts"
            return Self(.unreadable, untrusted, advice: advice)
        }
        if case .handshakeFailed(.sslError) = error, !text.contains("EOF") {
            return Self(.unreadable, "the TLS handshake failed", advice: "look at its log, or name another with --url")
        }
        return Self(.broken, "it was closed")
    }

    func error(at address: GatewayAddress) -> ClientError {
        switch cause {
        case .host: .openFiles
        case .unreachable:
            ClientError(cause, Self.sentence(tried: ["\(address) (\(reason))"], advice: advice))
        case .unreadable:
            ClientError(
                cause, "what answers at \(address) is not a gateway (\(reason)); \(advice ?? "look at its log")")
        default: ClientError(cause, "the connection to the gateway at \(address) failed (\(reason)); try again")
        }
    }

    static func sentence(tried: [String], advice: String? = nil) -> String {
        let usual = "start it with `inferq serve`, or name its address with --url or INFERQ_URL"
        return "no gateway answers at \(tried.joined(separator: " or ")); \(advice ?? usual)"
    }

    /// What connect(2) says; the same number may come from a later call for a broken connection only by ECONNRESET.
    private static let refusals: Set<CInt> = [
        ECONNREFUSED, ENOENT, ENETUNREACH, EHOSTUNREACH, ETIMEDOUT, EADDRNOTAVAIL, ENOTSOCK, EPROTOTYPE,
    ]
}
