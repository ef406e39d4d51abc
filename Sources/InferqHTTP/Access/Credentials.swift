import HTTPTypes
import InferqCore

/// What a request shows of the right to make it.
enum Credentials: Sendable, Equatable {
    case none
    /// In `Authorization` or `X-API-Key`, as it came.
    case key(String)
    /// The two fields, or two of one name, differ.
    case several
    /// `Authorization` is there, and is of another scheme.
    case otherScheme

    /// Longer than any key can be, so that no more of a field is ever looked at.
    private static let longest = 256

    init(_ headers: HTTPFields) {
        var found: String?
        for field in headers where field.name == .authorization || field.name == .xAPIKey {
            var text = field.value
            if field.name == .authorization {
                guard let key = Self.bearer(text) else {
                    self = .otherScheme
                    return
                }
                text = key
            }
            guard found == nil || found == text else {
                self = .several
                return
            }
            found = text
        }
        self = found.map { .key($0) } ?? .none
    }

    /// The key as it is written, if its form is right. Nothing is hashed for what cannot be one.
    var accessKey: AccessKey? {
        guard case .key(let text) = self, text.utf8.count <= Self.longest else { return nil }
        return AccessKey(text)
    }

    /// RFC 6750, section 2.1: the scheme in whatever case, spaces, the token.
    private static func bearer(_ field: String) -> String? {
        let scheme = field.utf8.prefix { $0 != UInt8(ascii: " ") }
        guard scheme.count == 6, field.prefix(6).lowercased() == "bearer" else { return nil }
        return field.utf8.count > longest ? field : String(field.dropFirst(6).trimmingSpaces)
    }
}
