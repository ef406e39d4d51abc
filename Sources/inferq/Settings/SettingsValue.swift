/// A value of a configuration file, free of the parser's types.
enum SettingsValue: Sendable, Equatable {
    case text(String)
    case whole(Int)
    case fraction(Double)
    case boolean(Bool)
    case date
    case list([SettingsValue])
    case table([String: SettingsNode])
    /// What the parser could not hand over, or what lies deeper than any setting does.
    case unreadable

    /// The value as a problem quotes it. Never use it for a setting that may hold a secret.
    var found: String {
        switch self {
        case .text(let text): "the string \(text.quoted())"
        case .whole(let number): "the number \(number)"
        case .fraction(let number): "the number \(number)"
        case .boolean(let value): "\(value)"
        case .date: "a date or time"
        case .list: "a list"
        case .table: "a table"
        case .unreadable: "something unreadable"
        }
    }

    /// What kind of value it is, without the value.
    var kind: String {
        switch self {
        case .text: "a string"
        case .whole, .fraction: "a number"
        case .boolean: "true or false"
        case .date, .list, .table, .unreadable: found
        }
    }
}

/// A value and the file that it was read from; of a merged table the last file that adds to it.
struct SettingsNode: Sendable, Equatable {
    var value: SettingsValue
    var file: String

    /// Lays a later file's table over this one: tables merge key by key, anything else is replaced.
    mutating func merge(_ later: SettingsNode) {
        guard case .table(var nodes) = value, case .table(let added) = later.value else {
            self = later
            return
        }
        for (key, node) in added {
            if nodes[key] == nil {
                nodes[key] = node
            } else {
                nodes[key]?.merge(node)
            }
        }
        self = SettingsNode(value: .table(nodes), file: later.file)
    }

    /// The value at `path`, nil if there is none.
    func value(at path: [String]) -> SettingsValue? {
        guard let key = path.first else { return value }
        guard case .table(let nodes) = value else { return nil }
        return nodes[key]?.value(at: Array(path.dropFirst()))
    }

    /// The file that the value at `path` came from, or the innermost table above it.
    func file(of path: [String]) -> String {
        guard let key = path.first, case .table(let nodes) = value, let node = nodes[key] else { return file }
        return node.file(of: Array(path.dropFirst()))
    }
}
