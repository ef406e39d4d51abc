import NIOCore
import NIOHTTP1

/// What is refused of a request's head before any route sees it.
enum HeadCheck {
    /// - Returns: the error that the head is answered with; nil when it is well-formed and within the limits.
    static func problem(with head: HTTPRequestHead, _ settings: HTTPSettings) -> APIError? {
        guard head.uri.utf8.count <= settings.target else { return .targetTooLong(limit: settings.target) }
        let isHTTP10 = head.version.major == 1 && head.version.minor == 0
        var byteCount = head.uri.utf8.count
        var fieldCount = 0
        var hosts = 0
        var lengths = 0
        for (name, value) in head.headers {
            byteCount += name.utf8.count + value.utf8.count + 4
            fieldCount += 1
            switch name.utf8.count {
            case 4 where name.lowercased() == "host": hosts += 1
            case 14 where name.lowercased() == "content-length": lengths += 1
            case 17 where name.lowercased() == "transfer-encoding":
                lengths += 1
                // The decoder would pass "gzip, chunked" on as if the gateway knew gzip.
                guard value.lowercased() == "chunked" else { return .transferCoding }
                guard !isHTTP10 else { return .malformed(.chunksInHTTP10) }
            case 6 where name.lowercased() == "expect" && value.lowercased() != "100-continue":
                return .expectation
            default: break
            }
        }
        guard byteCount <= settings.head, fieldCount <= settings.headerFields else { return .headTooLarge }
        guard hosts == 1 || (hosts == 0 && isHTTP10) else { return .malformed(.hosts(hosts)) }
        guard lengths <= 1 else { return .malformed(.lengths) }
        guard head.uri.first == "/" || head.uri == "*" || namesHost(of: head) else { return .malformed(.target) }
        return nil
    }

    /// An absolute target names the host that the field names, too (RFC 9112, section 3.2.2): that one is checked.
    private static func namesHost(of head: HTTPRequestHead) -> Bool {
        guard let scheme = head.uri.firstRange(of: "://") else { return false }
        let authority = head.uri[scheme.upperBound...].prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        return authority.lowercased() == head.headers.first(name: "host")?.lowercased()
    }

    /// Whether a `Content-Length` in these bytes is a number that the decoder has no room for: 2^64 has 20 digits.
    ///
    /// For a head that the decoder gave up at. Where it came in pieces with a cut just there, the answer is no.
    static func announcesTooMuch(_ bytes: ByteBuffer) -> Bool {
        bytes.readableBytesView.split(separator: UInt8(ascii: "\n")).contains { line in
            let name = "content-length:"
            guard String(decoding: line.prefix(name.utf8.count), as: UTF8.self).lowercased() == name else {
                return false
            }
            let digits = line.dropFirst(name.utf8.count).drop { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }
                .prefix { (48...57).contains($0) }
            let rest = line[digits.endIndex...]
            return digits.count >= 20 && rest.allSatisfy { " \t\r".utf8.contains($0) }
        }
    }
}

extension UInt8 {
    /// Of a token (RFC 9110, section 5.6.2).
    var isTokenCharacter: Bool {
        switch self {
        case 48...57, 65...90, 97...122: true
        default: "!#$%&'*+-.^_`|~".utf8.contains(self)
        }
    }
}
