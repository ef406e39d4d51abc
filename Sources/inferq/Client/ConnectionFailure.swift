import AsyncHTTPClient
import Glibc
import NIOCore
import NIOPosix

/// What the HTTP client reports when there is no connection, or none any more, in words.
struct ConnectionFailure {
    /// In brackets behind the address: `Connection refused`.
    let reason: String
    let cause: ClientError.Cause

    init(_ error: any Error) {
        switch error {
        case let error as NIOConnectionError:
            cause = .unreachable
            if let first = error.connectionErrors.first {
                reason = Self.words(first.error)
            } else {
                reason = "the name of the host is not known"
            }
        case let error as IOError where Self.refusals.contains(error.errnoCode):
            cause = .unreachable
            reason = Self.words(error)
        case let error as HTTPClientError where [.connectTimeout, .deadlineExceeded].contains(error):
            cause = .unreachable
            reason = "no answer in time"
        case let error as HTTPClientError where error == .readTimeout:
            cause = .broken
            reason = "nothing came for too long"
        case let error as HTTPClientError where error == .remoteConnectionClosed:
            cause = .broken
            reason = "it was closed"
        default:
            cause = .broken
            reason = Self.words(error)
        }
    }

    func error(at address: GatewayAddress) -> ClientError {
        if cause == .unreachable { return ClientError(cause, Self.sentence(tried: ["\(address) (\(reason))"])) }
        return ClientError(cause, "the connection to the gateway at \(address) failed (\(reason)); try again")
    }

    static func sentence(tried: [String]) -> String {
        let advice = "start it with `inferq serve`, or name its address with --url or INFERQ_URL"
        return "no gateway answers at \(tried.joined(separator: " or ")); \(advice)"
    }

    /// What connect(2) says; the same number may come from a later call for a broken connection only by ECONNRESET.
    private static let refusals: Set<CInt> = [
        ECONNREFUSED, ENOENT, EACCES, EPERM, ENETUNREACH, EHOSTUNREACH, ETIMEDOUT, EADDRNOTAVAIL, ENOTSOCK, EPROTOTYPE,
    ]

    private static func words(_ error: any Error) -> String {
        switch error {
        case let error as IOError: String(cString: strerror(error.errnoCode))
        case let error as HTTPClientError: error.shortDescription
        case is ChannelError: "no answer in time"
        default: String(describing: error)
        }
    }
}
