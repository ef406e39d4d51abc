/// The parts of a `Content-Type` that matter here.
struct MediaType: Sendable, Equatable {
    /// `type/subtype`, in lower case.
    let essence: String

    init?(_ field: String) {
        if field == "application/json" {
            essence = field
            return
        }
        let text = field.prefix { $0 != ";" }.trimmingSpaces.lowercased()
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ !$0.isEmpty && !$0.contains(" ") }) else { return nil }
        essence = text
    }

    /// The parameter `charset` of a `Content-Type`, in lower case and without quotation marks.
    static func charset(_ field: String) -> String? {
        for parameter in field.split(separator: ";").dropFirst() {
            let parts = parameter.split(separator: "=", maxSplits: 1).map(\.trimmingSpaces)
            guard parts.count == 2, parts[0].lowercased() == "charset" else { continue }
            return parts[1].lowercased().filter { $0 != "\"" }
        }
        return nil
    }

    /// `application/json`, or a type with the suffix `+json` (RFC 6839).
    var isJSON: Bool {
        essence == "application/json" || essence.hasSuffix("+json")
    }
}

/// What an `Accept` field admits (RFC 9110, section 12.5.1).
enum Accept {
    /// Whether `type` (`type/subtype`) may be answered. A field that is missing or empty admits everything; the most
    /// specific range decides, and a weight of 0 refuses.
    static func admits(_ type: String, _ field: String?) -> Bool {
        guard let field, !field.trimmingSpaces.isEmpty else { return true }
        let family = type.prefix { $0 != "/" } + "/*"
        var best = (rank: -1, isAdmitted: false)
        for range in field.split(separator: ",") {
            let parts = range.split(separator: ";").map { $0.trimmingSpaces.lowercased() }
            guard let name = parts.first else { continue }
            let rank: Int
            switch name {
            case type: rank = 2
            case String(family): rank = 1
            case "*/*", "*": rank = 0
            default: continue
            }
            let weight = parts.dropFirst().first { $0.hasPrefix("q=") }.flatMap { Double($0.dropFirst(2)) }
            if rank > best.rank { best = (rank, weight != 0) }
        }
        return best.isAdmitted
    }
}

extension Request {
    /// - Throws: 406 when the client does not take answers of this type (`type/subtype`).
    func checkAccepts(_ type: String) throws(APIError) {
        guard Accept.admits(type, headers[.accept]) else { throw .notAcceptable(type) }
    }
}

extension StringProtocol {
    /// Without the spaces and tabs at both ends.
    var trimmingSpaces: String {
        // By bytes: to look for grapheme clusters costs more than all the rest of a field.
        func isSpace(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }
        var text = Substring(self)
        while let first = text.utf8.first, isSpace(first) { text = text[text.utf8.index(after: text.startIndex)...] }
        while let last = text.utf8.last, isSpace(last) { text = text[..<text.utf8.index(before: text.endIndex)] }
        return String(text)
    }
}
