/// The first bytes of a head, as far as they have come: a request's, or those of something that is not HTTP.
///
/// A request begins with a method, which is a token (RFC 9110, section 5.6.2), a space and a path or an asterisk. So a
/// method that no one knows is told from what is not HTTP.
enum HeadBeginning: Equatable {
    /// Only bytes of a method have come, so many.
    case method(byteCount: Int)
    /// A method and a space have come.
    case target
    case request
    case noRequest

    static let empty = HeadBeginning.method(byteCount: 0)
    private static let longestMethod = 62

    mutating func read(_ bytes: some Sequence<UInt8>) {
        for byte in bytes {
            switch self {
            case .method(let count):
                if byte.isTokenCharacter, count < Self.longestMethod {
                    self = .method(byteCount: count + 1)
                } else {
                    self = byte == UInt8(ascii: " ") && count > 0 ? .target : .noRequest
                }
            case .target:
                self = byte == UInt8(ascii: "/") || byte == UInt8(ascii: "*") ? .request : .noRequest
            case .request, .noRequest: return
            }
        }
    }
}
