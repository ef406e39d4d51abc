import InferqCore

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
