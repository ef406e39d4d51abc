import InferqCore

/// How clients call models: by the names of their tables, and by those that the setting `names` adds.
extension ModelSettings {
    /// Whether `name` is one of the setting `names`, or fits a pattern among them.
    package func hasName(_ name: String) -> Bool {
        names.contains { Self.fits(name, $0) }
    }

    /// The names that stand for this model and nothing else, its table's first.
    var literalNames: [String] {
        [name] + names.filter { !$0.contains("*") && $0 != name }
    }

    /// - Parameter pattern: `*` stands for any text, the empty one and slashes included.
    static func fits(_ name: String, _ pattern: String) -> Bool {
        let name = Array(name.utf8)
        let pattern = Array(pattern.utf8)
        var at = 0
        var index = 0
        // Where to go on when what follows the last asterisk does not fit: that asterisk takes one byte more.
        var last: (asterisk: Int, name: Int)?
        while at < name.count {
            if index < pattern.count, pattern[index] == UInt8(ascii: "*") {
                last = (index, at)
                index += 1
            } else if index < pattern.count, pattern[index] == name[at] {
                index += 1
                at += 1
            } else if let (asterisk, start) = last {
                last = (asterisk, start + 1)
                index = asterisk + 1
                at = start + 1
            } else {
                return false
            }
        }
        return pattern[index...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}

extension [ModelSettings] {
    /// Those that a client may mean by `name`. The name of a table is that of one model, whatever patterns others have.
    func named(_ name: String) -> [ModelSettings] {
        if let model = first(where: { $0.name == name }) { return [model] }
        return filter { $0.hasName(name) }
    }
}
