/// A page of a list that is counted from its beginning.
struct PageSpan: Sendable, Equatable {
    /// Past it, a page costs more than it is worth.
    static let mostSkipped = 10_000

    let skip: Int
    let limit: Int

    init(_ query: Query) throws(APIError) {
        skip = try Self.number(query, "skip", in: 0...Self.mostSkipped) ?? 0
        limit = try Self.number(query, "limit", in: 1...1000) ?? 25
    }

    private static func number(_ query: Query, _ name: String, in range: ClosedRange<Int>) throws(APIError) -> Int? {
        guard let text = try query.single(name) else { return nil }
        guard let value = Int(text), range.contains(value) else {
            throw .invalid(
                "query item \(name)", "it must be a whole number from \(range.lowerBound) to \(range.upperBound)"
            )
        }
        return value
    }
}
