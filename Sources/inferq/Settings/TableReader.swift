/// Reads one table: hands out the settings that are asked for, then names the keys that no one asked for.
struct TableReader {
    /// Keys from the top of the file down to this table.
    let path: [String]
    let problems: ProblemList
    let credentials: Credentials
    /// The last file that adds to this table.
    private let file: String
    private let nodes: [String: SettingsNode]
    private(set) var known: [String] = []
    /// Those that belong elsewhere, and were reported.
    private var refused: [String] = []

    /// - Parameter node: A table; anything else reads as an empty one.
    init(_ node: SettingsNode, path: [String], problems: ProblemList, credentials: Credentials) {
        if case .table(let nodes) = node.value { self.nodes = nodes } else { nodes = [:] }
        file = node.file
        self.path = path
        self.problems = problems
        self.credentials = credentials
    }

    /// The keys as the file has them, sorted.
    var keys: [String] { nodes.keys.sorted() }

    /// Hands the value at `key` to `take` if there is one; what `take` throws becomes a problem.
    mutating func read(_ key: String, _ take: (SettingsValue, Credentials) throws(Refusal) -> Void) {
        known.append(key)
        guard let node = nodes[key] else { return }
        do throws(Refusal) {
            try take(node.value, credentials)
        } catch {
            report(key, error)
        }
    }

    /// The table at `key`; nil if there is none.
    mutating func table(_ key: String, example: String) -> TableReader? {
        known.append(key)
        guard let node = nodes[key] else { return nil }
        guard case .table = node.value else {
            report(key, Refusal("expected a table, found \(node.value.kind)", "write it as \(example)"))
            return nil
        }
        return TableReader(node, path: path + [key], problems: problems, credentials: credentials)
    }

    /// Reports `key`, which belongs elsewhere, if it is there.
    mutating func refuse(_ key: String, _ refusal: Refusal) {
        guard has(key) else { return }
        refused.append(key)
        report(key, refusal)
    }

    func has(_ key: String) -> Bool {
        nodes[key] != nil
    }

    /// Adds a problem with the value at `key`, which may be missing.
    func report(_ key: String, _ refusal: Refusal) {
        problems.add(SettingsProblem(nodes[key]?.file ?? file, at: Self.text(path + [key]), refusal))
    }

    /// Reports every key that was never asked for.
    ///
    /// - Parameter elsewhere: Names of the top of the file: a setting that was added at the end of a file belongs to
    ///   the table above it, which is rarely what was meant.
    func refuseUnknown(elsewhere: [String] = []) {
        for key in keys where !known.contains(key) && !refused.contains(key) {
            let advice =
                if elsewhere.contains(key) {
                    "move it to the top of the file, above the first [table]"
                } else if let near = NearestName.find(key, among: known) {
                    "did you mean \(near)?"
                } else {
                    "remove it; known here: \(known.sorted().joined(separator: ", "))"
                }
            report(key, Refusal("unknown key", advice))
        }
    }

    /// A key path as TOML writes it: keys that are not bare stand in quotation marks.
    static func text(_ path: [String]) -> String {
        path.map { key in
            let isBare = !key.isEmpty && key.utf8.count <= 128 && key.utf8.allSatisfy(\.isBareKey)
            return isBare ? key : key.quoted()
        }
        .joined(separator: ".")
    }

    /// The header of the table at a path.
    static func header(_ path: [String]) -> String { "[\(text(path))]" }
}

extension UInt8 {
    /// ASCII letters, digits, `_` and `-`.
    fileprivate var isBareKey: Bool {
        isLetterOrDigit || self == UInt8(ascii: "_") || self == UInt8(ascii: "-")
    }

    /// ASCII letters and digits.
    var isLetterOrDigit: Bool {
        switch self {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
        case UInt8(ascii: "0")...UInt8(ascii: "9"): true
        default: false
        }
    }
}
