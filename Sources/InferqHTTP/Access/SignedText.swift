import Foundation
import InferqCore

/// Text that only this store's gateway can have written: what it says, when it ends, and whose right it is.
///
/// Nothing need be remembered of it, so it outlives a restart. What is signed takes in a salt that the store does not hold, the
/// digest of the maker's key: a backup that is lost signs for no one who has a key.
struct SignedText: Sendable, Equatable {
    enum Purpose: String, Sendable {
        case ticket, session
    }

    /// Whose right it hands on: the id of a key, or `~` and the name of a client without one.
    let maker: String
    let expires: Timestamp
    /// Tells one from all others, or names what it is for.
    let subject: String

    /// `<maker>.<subject>.<expiry in base 36>.<HMAC-SHA256, cut to 192 bits>`: letters, digits and `-._~` alone, which stand
    /// unescaped in a URL and a cookie.
    func text(_ purpose: Purpose, _ key: SigningKey, salt: String = "") -> String {
        let content = "\(maker).\(subject).\(String(expires.milliseconds, radix: 36))"
        return content + "." + Self.code(of: content, purpose, key, salt)
    }

    /// Nil for a text that ``text(_:_:salt:)`` has not made for that purpose with this key.
    ///
    /// - Parameter salt: of a maker.
    init?(_ text: String, _ purpose: Purpose, _ key: SigningKey, salt: (String) -> String = { _ in "" }) {
        guard text.utf8.count <= 512, let dot = text.lastIndex(of: ".") else { return nil }
        let content = String(text[..<dot])
        // A client's name may hold dots: it comes first.
        let parts = content.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count >= 3, let expires = Int64(parts[parts.count - 1], radix: 36) else { return nil }
        let maker = parts.dropLast(2).joined(separator: ".")
        let code = Self.code(of: content, purpose, key, salt(maker))
        guard SecretText.isEqual(String(text[text.index(after: dot)...]), code) else { return nil }
        self.init(
            maker: maker, expires: Timestamp(milliseconds: expires), subject: String(parts[parts.count - 2]))
    }

    init(maker: String, expires: Timestamp, subject: String) {
        self.maker = maker
        self.expires = expires
        self.subject = subject
    }

    private static func code(
        of content: String, _ purpose: Purpose, _ key: SigningKey, _ salt: String
    ) -> String {
        let code = key.code(of: "\(purpose.rawValue) \(salt) \(content)", byteCount: 24)
        return Data(code).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_")
    }
}

extension Caller {
    /// Whose right a ticket or a session hands on: the id of a key, or `~` and the name of a client.
    var makerName: String { key?.id ?? "~\(client)" }
}
