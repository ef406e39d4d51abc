/// One setting: its key, the field that it fills, what it takes, and when a change takes effect.
///
/// Its default is the field's in a new `Root`.
struct SettingRow<Root: Sendable>: Sendable {
    /// When a change in the files takes effect.
    enum Effect: Sendable {
        /// At SIGHUP.
        case reload
        /// At the next start.
        case restart
    }

    /// From the top of the file, or of a model's table: `limits.head_timeout`.
    let key: String
    let effect: Effect
    /// The variable of the environment that wins over the files.
    let variable: String?
    /// The values that there are, as in `1 to 64`; nil where no few words say it.
    let range: String?

    private let fill: Fill
    private let isList: Bool
    private let write: @Sendable (Root) -> String
    private let differs: @Sendable (Root, Root) -> Bool

    private typealias Assign =
        @Sendable (SettingsValue, inout Root, _ defaults: Root, Credentials) throws(Refusal) -> Void

    private enum Fill: Sendable {
        case value(Assign)
        case table(@Sendable (inout TableReader, inout Root) -> Void)
    }

    init<Value: Equatable & Sendable>(
        _ key: String,
        _ field: any WritableKeyPath<Root, Value> & Sendable,
        _ rule: SettingRule<Value>,
        _ effect: Effect = .reload,
        variable: String? = nil
    ) {
        self.key = key
        self.effect = effect
        self.variable = variable
        range = rule.range
        isList = rule.isList
        fill = .value { value, root, defaults, credentials throws(Refusal) in
            root[keyPath: field] = try rule.value(value, default: defaults[keyPath: field], credentials)
        }
        write = { rule.write($0[keyPath: field]) }
        differs = { $0[keyPath: field] != $1[keyPath: field] }
    }

    /// A table whose keys the operator chooses.
    init<Value: Equatable & Sendable>(
        _ key: String,
        _ field: any WritableKeyPath<Root, Value> & Sendable,
        table read: @escaping @Sendable (inout TableReader) -> Value
    ) {
        self.key = key
        effect = .reload
        variable = nil
        range = nil
        isList = false
        fill = .table { table, root in root[keyPath: field] = read(&table) }
        write = { _ in "{ }" }
        differs = { $0[keyPath: field] != $1[keyPath: field] }
    }

    var path: [String] { key.split(separator: ".").map(String.init) }

    /// The table that the key stands in; nil for the top one.
    var table: String? { path.count > 1 ? path.first : nil }

    /// The value in `root`, as the files write it.
    func text(in root: Root) -> String { write(root) }

    func hasChanged(from old: Root, to new: Root) -> Bool { differs(old, new) }

    /// Whether the files or the environment say anything but an empty text.
    func isGiven(in tree: SettingsNode, _ environment: [String: String]) -> Bool {
        if let variable, environment[variable] != nil { return true }
        return tree.value(at: path).map { $0 != .text("") } ?? false
    }

    /// What the text of a variable stands for: a list has commas between its items.
    func value(ofVariable text: String) -> SettingsValue {
        guard isList else { return .text(text) }
        return .list(text.split(separator: ",").map { .text($0.trimmed) })
    }

    /// Sets the field to a value from elsewhere than the files.
    func set(_ root: inout Root, to value: SettingsValue, defaults: Root, _ credentials: Credentials) throws(Refusal) {
        guard case .value(let assign) = fill else { return }
        try assign(value, &root, defaults, credentials)
    }

    /// Sets the field if `table` has the key. What is wrong becomes a problem, and the field stays as it is.
    func read(from table: inout TableReader, into root: inout Root, defaults: Root) {
        guard let name = path.last else { return }
        switch fill {
        case .value(let assign):
            table.read(name) { value, credentials throws(Refusal) in
                try assign(value, &root, defaults, credentials)
            }
        case .table(let read):
            if var inner = table.table(name, example: "{ NAME = \"value\" }") { read(&inner, &root) }
        }
    }
}

extension TableReader {
    /// Fills `root`, which holds the defaults, in the order of `rows`.
    ///
    /// - Returns: the tables in this one, for the keys that no row names.
    mutating func read<Root>(_ rows: [SettingRow<Root>], into root: inout Root) -> [TableReader] {
        let defaults = root
        for row in rows where row.table == nil { row.read(from: &self, into: &root, defaults: defaults) }
        var tables: [TableReader] = []
        var names: [String] = []
        for case let name? in rows.map(\.table) where !names.contains(name) {
            names.append(name)
            let inner = rows.filter { $0.table == name }
            let lines = inner.map { "\($0.path.last ?? "") = \($0.text(in: defaults))" }
            let example = path.isEmpty ? "[\(name)]" : "{ \(lines.joined(separator: ", ")) }"
            guard var table = table(name, example: example) else { continue }
            for row in inner { row.read(from: &table, into: &root, defaults: defaults) }
            tables.append(table)
        }
        return tables
    }
}

extension Substring {
    /// Without spaces at both ends.
    fileprivate var trimmed: String {
        var rest = self
        while rest.first == " " { rest.removeFirst() }
        while rest.last == " " { rest.removeLast() }
        return String(rest)
    }
}
