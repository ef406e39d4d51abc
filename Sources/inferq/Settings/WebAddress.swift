/// The parts of a URL, taken literally: nothing is guessed, completed or decoded.
struct WebAddress: Equatable {
    /// In lower case.
    var scheme: String
    /// A user and a password, as written before the `@`.
    var credentials: String?
    /// An IPv6 address keeps its brackets; of `http+unix` the escaped path of the socket.
    var host: String
    var port: Int?
    /// Empty or beginning with a slash.
    var path: String
    /// Without the question mark.
    var query: String?

    /// - Throws: Why `text` is no such URL; the sentences never quote it, since it may hold a password.
    init(_ text: String, example: String) throws(Refusal) {
        let advice = "write something like \"\(example)\""
        guard let separator = text.firstRange(of: "://") else { throw Refusal("expected a URL", advice) }
        scheme = text[..<separator.lowerBound].lowercased()
        guard scheme.utf8.first?.isLetterOrDigit == true, scheme.utf8.allSatisfy(\.isSchemePart) else {
            throw Refusal("the URL has no valid scheme", advice)
        }
        guard Self.hasOnlyURLCharacters(text) else {
            throw Refusal("the URL holds a character that must be escaped", "write it as % and two hexadecimal digits")
        }
        guard !text.contains("#") else { throw Refusal("the URL has a fragment", "leave out the part from # on") }
        let rest = text[separator.upperBound...]
        let end = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
        var authority = rest[..<end]
        if let at = authority.lastIndex(of: "@") {
            credentials = String(authority[..<at])
            authority = authority[authority.index(after: at)...]
        }
        if let colon = authority.lastIndex(of: ":"), !authority.hasSuffix("]") {
            port = HostText.port(authority[authority.index(after: colon)...], in: 1...65_535)
            guard port != nil else { throw Refusal("the URL's port is not one from 1 to 65535", advice) }
            authority = authority[..<colon]
        }
        host = String(authority)
        let tail = rest[end...]
        let mark = tail.firstIndex(of: "?")
        path = String(tail[..<(mark ?? tail.endIndex)])
        query = mark.map { String(tail[tail.index(after: $0)...]) }
        guard scheme == "http+unix" || Self.isHost(host) else {
            throw Refusal("the URL's host is neither a name nor an address", advice)
        }
    }

    /// Scheme, host and port as a browser writes an origin: lower case, without the scheme's own port.
    var origin: String {
        let standard = ["http": 80, "https": 443][scheme]
        let suffix = port.flatMap { $0 == standard ? nil : ":\($0)" } ?? ""
        return "\(scheme)://\(host.lowercased())\(suffix)"
    }

    /// `text`, from which this address was read, with its scheme in lower case: not every reader ignores the case.
    func lowercasingScheme(of text: String) -> String {
        scheme + text.dropFirst(scheme.count)
    }

    private static func isHost(_ host: String) -> Bool {
        if host.hasPrefix("["), host.hasSuffix("]") { return HostText.isIPv6(String(host.dropFirst().dropLast())) }
        return HostText.isIPv4(host) || HostText.isName(host)
    }

    /// RFC 3986: visible ASCII without the delimiters that never stand in a URL; a percent sign begins an escape.
    private static func hasOnlyURLCharacters(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        let excluded = Array("\"<>\\^`{|} ".utf8)
        for (index, byte) in bytes.enumerated() {
            guard (0x21...0x7E).contains(byte), !excluded.contains(byte) else { return false }
            guard byte == UInt8(ascii: "%") else { continue }
            let digits = bytes[(index + 1)...].prefix(2)
            guard digits.count == 2, digits.allSatisfy(\.isHexDigit) else { return false }
        }
        return true
    }
}

extension String {
    /// The text with `%2F` and the like decoded; nil if an escape is broken or the result is not UTF-8.
    var percentDecoded: String? {
        var bytes: [UInt8] = []
        var rest = Substring(self).utf8
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            let digits = rest.prefix(2)
            guard digits.count == 2, digits.allSatisfy(\.isHexDigit) else { return nil }
            guard let value = UInt8(Substring(digits), radix: 16) else { return nil }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        return String(validating: bytes, as: UTF8.self)
    }
}

extension UInt8 {
    fileprivate var isSchemePart: Bool { isLetterOrDigit || "+-.".utf8.contains(self) }

    fileprivate var isHexDigit: Bool {
        isLetterOrDigit && (self | 0x20 <= UInt8(ascii: "f"))
    }
}
