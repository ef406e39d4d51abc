/// What a path has in place of its template's parameters, as it was sent: percent escapes are not decoded.
struct PathParameters: Sendable {
    private let names: [String]
    private let values: [Substring]

    /// - Parameter values: one for each name, in the same order.
    init(names: [String] = [], values: [Substring] = []) {
        self.names = names
        self.values = values
    }

    /// Nil when the template has no such parameter.
    subscript(name: String) -> Substring? {
        names.firstIndex(of: name).map { values[$0] }
    }
}
