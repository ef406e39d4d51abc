/// The parts of a `Content-Type` that matter here.
package struct MediaType: Sendable, Equatable {
    /// `type/subtype`, in lower case.
    package let essence: String

    package init?(_ field: String) {
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
    package var isJSON: Bool {
        essence == "application/json" || essence.hasSuffix("+json")
    }
}
