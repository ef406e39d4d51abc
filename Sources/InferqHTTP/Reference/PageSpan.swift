/// A page of a list that is counted from its beginning.
struct PageSpan: Sendable, Equatable {
    /// Past it, a page costs more than it is worth.
    static let mostSkipped = 10_000

    let skip: Int
    let limit: Int

    init(_ query: Query) throws(APIError) {
        skip = try query.number("skip", in: 0...Self.mostSkipped) ?? 0
        limit = try query.number("limit", in: 1...1000) ?? 25
    }
}
