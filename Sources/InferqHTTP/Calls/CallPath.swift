import InferqCore

/// What a model server may read in a path, however a client has written it.
enum CallPath {
    /// The calls by which an Ollama server is administered.
    private static let administration: Set<String> = ["blobs", "copy", "create", "delete", "pull", "push"]

    /// More often no one decodes a path.
    private static let decodings = 4

    private static let dialectPatterns = Dialect.allCases.flatMap(\.rootPaths).map(\.pattern)

    /// Whether it is below a mount, or one of the paths at the root that clients of a dialect know, with such a model or without.
    static func isOfDialects(_ path: String) -> Bool {
        path.hasPrefix("/upstream/") || KServePath(path) != nil || dialectPatterns.contains { $0.covers(path) }
    }

    /// Whether a segment may be read as `.` or `..`, which would lead out of the paths that are offered.
    static func hasDotSegments(_ path: String) -> Bool {
        // A dot or an escape: nearly every path has neither.
        guard path.utf8.contains(where: { $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "%") }) else { return false }
        return segments(of: path).contains { $0 == "." || $0 == ".." }
    }

    /// Whether a path administers an Ollama server: loads models onto its disk or takes them away.
    static func isAdministration(_ path: String) -> Bool {
        let segments = segments(of: path).map { $0.lowercased() }.filter { !$0.isEmpty }
        return zip(segments, segments.dropFirst()).contains { $0 == "api" && administration.contains($1) }
    }

    /// The segments without their escapes and parameters. Some servers decode a path before they split it, some twice,
    /// and some take a backslash for a slash.
    private static func segments(of path: String) -> [String] {
        var plain = path
        for _ in 0..<decodings { plain = plain.decodingEscapes }
        // By bytes: to Swift, a slash and an accent behind it are one character, and no slash.
        let segments = plain.utf8.split(omittingEmptySubsequences: false) { byte in
            byte == UInt8(ascii: "/") || byte == UInt8(ascii: "\\")
        }
        return segments.map { segment in String(Substring(segment.prefix { $0 != UInt8(ascii: ";") })) }
    }

    /// `path` up to a fragment, which a client does not send (RFC 9110, section 7.1).
    static func withoutFragment(_ path: String) -> String {
        guard let mark = path.utf8.firstIndex(of: UInt8(ascii: "#")) else { return path }
        return String(path[..<mark])
    }
}

extension String {
    /// With each percent escape replaced by its byte; one that is malformed stays as it is.
    var decodingEscapes: String {
        guard utf8.contains(UInt8(ascii: "%")) else { return self }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(utf8.count)
        var rest = utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%"), let high = rest.first?.hexDigit, let low = rest.dropFirst().first?.hexDigit
            else {
                bytes.append(byte)
                continue
            }
            bytes.append(high << 4 | low)
            rest = rest.dropFirst(2)
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension UInt8 {
    /// The value of a hexadecimal digit; nil for any other byte.
    var hexDigit: UInt8? {
        switch self {
        case 48...57: self - 48
        case 65...70: self - 55
        case 97...102: self - 87
        default: nil
        }
    }
}
