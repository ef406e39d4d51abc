/// What a client may do.
package struct Scopes: OptionSet, Sendable, Hashable {
    package let rawValue: UInt8

    package init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    /// Submits, calls, files, batches and retries of one's own.
    package static let submit = Scopes(rawValue: 1 << 0)
    /// One's own jobs.
    package static let read = Scopes(rawValue: 1 << 1)
    /// Cancels and deletes one's own jobs.
    package static let cancel = Scopes(rawValue: 1 << 2)
    /// Everyone's jobs.
    package static let readAll = Scopes(rawValue: 1 << 3)
    /// Cancels, deletes and retries everyone's jobs; pauses models; sees the clients.
    package static let operate = Scopes(rawValue: 1 << 4)
    package static let metrics = Scopes(rawValue: 1 << 5)
    package static let all = Scopes(named.map(\.scope))

    /// The name of each single scope, as key files and documents have it.
    package static let named: [(name: String, scope: Scopes)] = [
        ("submit", .submit), ("read", .read), ("cancel", .cancel), ("read:all", .readAll), ("operate", .operate),
        ("metrics", .metrics),
    ]

    /// `*` stands for all; nil for a name that is none.
    package init?(named name: String) {
        if name == "*" {
            self = .all
        } else if let known = Self.named.first(where: { $0.name == name }) {
            self = known.scope
        } else {
            return nil
        }
    }

    /// The names of those that are in it.
    package var names: [String] { Self.named.filter { contains($0.scope) }.map(\.name) }
}
