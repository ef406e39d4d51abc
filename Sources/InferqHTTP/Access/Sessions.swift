import Crypto
import HTTPTypes
import InferqCore
import Synchronization

/// Pages that are signed in: a cookie stands for the key.
final class Sessions: Sendable {
    private let key: SigningKey
    /// Those that were ended before their time, until then. A restart forgets them: the cookie was taken from the browser.
    private let ended = Mutex<[String: Timestamp]>([:])

    /// Sessions that were ended and are remembered; of more the ones that expire first are forgotten.
    private static let endedLimit = 4096

    init(_ key: SigningKey) {
        self.key = key
    }

    // MARK: Cookies

    /// `__Host-` binds it to this very host and to TLS (RFC 6265bis); a browser takes it over TLS alone.
    private static func cookieName(isSecure: Bool) -> String { isSecure ? "__Host-inferq" : "inferq" }

    /// - Returns: the value of a field `Set-Cookie`, and when the session ends.
    func begin(_ caller: Caller, for length: Duration, isSecure: Bool) -> (cookie: String, expires: Timestamp) {
        let expires = min(.now + length, caller.expires ?? .latest)
        var random = RandomBits()
        let subject = String(random.next(), radix: 36) + String(random.next(), radix: 36)
        let session = SignedText(maker: caller.makerName, expires: expires, subject: subject)
        let seconds = max(1, (expires - .now).milliseconds / 1000)
        let text = session.text(.session, key, salt: KeyRing.salt(of: caller))
        return (Self.cookie(text, seconds, isSecure), expires)
    }

    /// What takes the cookie from the browser.
    static func removal(isSecure: Bool) -> String { cookie("", 0, isSecure) }

    private static func cookie(_ value: String, _ seconds: Int64, _ isSecure: Bool) -> String {
        "\(cookieName(isSecure: isSecure))=\(value); Path=/; Max-Age=\(seconds); HttpOnly; SameSite=Strict"
            + (isSecure ? "; Secure" : "")
    }

    // MARK: Requests

    /// The session of a request; nil when there is none, when it is over, or when another site may have made the request.
    func find(_ request: Request, isSecure: Bool, _ ring: KeyRing) -> SignedText? {
        guard Self.isFromOwnPage(request), let session = shown(by: request, isSecure: isSecure, ring),
            session.expires > .now
        else { return nil }
        return ended.withLock { $0[session.subject] } == nil ? session : nil
    }

    /// - Returns: the session that has ended; nil: the request shows none.
    func end(_ request: Request, isSecure: Bool, _ ring: KeyRing) -> String? {
        guard Self.isFromOwnPage(request), let session = shown(by: request, isSecure: isSecure, ring) else {
            return nil
        }
        ended.withLock { ended in
            ended[session.subject] = session.expires
            guard ended.count > Self.endedLimit else { return }
            let now = Timestamp.now
            ended = ended.filter { $0.value > now }
            for (subject, _) in ended.sorted(by: { $0.value < $1.value }).prefix(ended.count - Self.endedLimit) {
                ended[subject] = nil
            }
        }
        return session.subject
    }

    private func shown(by request: Request, isSecure: Bool, _ ring: KeyRing) -> SignedText? {
        let prefix = Self.cookieName(isSecure: isSecure) + "="
        let values = request.headers[values: .cookie].flatMap { $0.split(separator: ";") }
            .map { $0.trimmingSpaces }.filter { $0.hasPrefix(prefix) }
        guard values.count == 1, let value = values.first else { return nil }
        return SignedText(String(value.dropFirst(prefix.count)), .session, key, salt: ring.salt)
    }

    /// Whether a browser says that our own page makes the request, or the person himself by its address bar. A request that
    /// only reads and says nothing is taken: an old browser's, which sends no cookie of ours from another site.
    private static func isFromOwnPage(_ request: Request) -> Bool {
        let isRead = request.method == .get || request.method == .head
        if let site = request.headers[.secFetchSite] { return site == "same-origin" || isRead && site == "none" }
        if let origin = request.headers[.origin] {
            return request.isOwn(origin)
        }
        return isRead
    }
}

extension KeyRing {
    /// What goes into the signature of what this caller hands on: the digest of its key, which is in root's files alone.
    static func salt(of caller: Caller) -> String { caller.key?.digest.hex ?? "" }

    /// As ``salt(of:)``, of a ``SignedText/maker``.
    func salt(of maker: String) -> String { caller(withKey: maker).map(Self.salt(of:)) ?? "" }
}
