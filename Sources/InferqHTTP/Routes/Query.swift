/// The items of a request's query, decoded and checked.
struct Query: Sendable {
    /// `text` is the item as it was sent.
    let items: [(name: String, value: String, text: Substring)]

    /// - Throws: 400 for a percent escape that is cut, or that is not UTF-8.
    init(_ text: String?) throws(APIError) {
        var items: [(String, String, Substring)] = []
        for pair in (text ?? "").split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = Self.decoded(parts[0]), let value = Self.decoded(parts.count > 1 ? parts[1] : "") else {
                throw .invalid("query", "\"\(String(pair).clipped)\" is not percent-encoded UTF-8")
            }
            items.append((name, value, pair))
        }
        self.items = items
    }

    var isEmpty: Bool { items.isEmpty }

    /// The value of an item that may stand once.
    func single(_ name: String) throws(APIError) -> String? {
        let values = items.filter { $0.name == name }
        guard values.count <= 1 else { throw .invalid("query item \(name)", "it is given more than once") }
        return values.first?.value
    }

    /// A whole number that may stand once.
    func number(_ name: String, in range: ClosedRange<Int>) throws(APIError) -> Int? {
        guard let text = try single(name) else { return nil }
        guard let value = Int(text), range.contains(value) else {
            let upper = range.upperBound == .max ? "on" : "to \(range.upperBound)"
            throw .invalid("query item \(name)", "it must be a whole number from \(range.lowerBound) \(upper)")
        }
        return value
    }

    /// Whether an item is there that may stand once as `true` or `false`.
    func flag(_ name: String) throws(APIError) -> Bool {
        switch try single(name) {
        case nil, "false": return false
        case "true": return true
        case _?: throw .invalid("query item \(name)", "it must be true or false")
        }
    }

    /// The id of the last event that a listener has seen, for clients that cannot set header fields: polyfills of
    /// EventSource write it as its property is named.
    static let lastEventIDNames: Set<String> = ["last_event_id", "lastEventId"]

    func lastEventID() throws(APIError) -> String? {
        let plain = try single("last_event_id")
        let other = try single("lastEventId")
        return plain ?? other
    }

    func all(_ name: String) -> [String] {
        items.filter { $0.name == name }.map(\.value)
    }

    /// - Throws: 400 that names an item that is none of `known`.
    func allowOnly(_ known: Set<String>) throws(APIError) {
        guard let stranger = items.first(where: { !known.contains($0.name) }) else { return }
        let list = known.isEmpty ? "none is accepted" : "known items: \(known.sorted().joined(separator: ", "))"
        throw .invalid("query item \(stranger.name.clipped)", "it is not known here; \(list)")
    }

    private static func decoded(_ text: Substring) -> String? {
        guard text.utf8.contains(where: { $0 == UInt8(ascii: "%") || $0 == UInt8(ascii: "+") }) else {
            return String(text)
        }
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "+"): bytes.append(UInt8(ascii: " "))
            case UInt8(ascii: "%"):
                guard let high = rest.popFirst()?.hexDigit, let low = rest.popFirst()?.hexDigit
                else { return nil }
                bytes.append(high << 4 | low)
            default: bytes.append(byte)
            }
        }
        return String(validating: bytes, as: UTF8.self)
    }
}
