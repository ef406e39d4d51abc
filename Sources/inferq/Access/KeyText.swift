import InferqCore

/// The text of a file of keys. A change of a client's hashes leaves all else as it is, comments too.
struct KeyText {
    /// The text is not in a form in which hashes can be changed and nothing else.
    struct NotEditable: Error {}

    private(set) var text: String

    init(_ text: String) {
        self.text = text
    }

    /// A file for a new client: what is not said in it has its default.
    init(_ client: Client) {
        var lines = [
            "# A client of inferq, and the hashes of its keys, which `inferq key rotate` and `inferq key revoke` change.",
            "# Scopes and limits may be changed here (docs/limits.md, [keys.NAME]); then: systemctl reload inferq",
            TableReader.header(["keys", client.name]),
        ]
        for row in Client.rows where row.key == "scopes" || row.hasChanged(from: Client(""), to: client) {
            lines.append("\(row.key) = \(row.key == "hashes" ? Self.list(client.keys) : row.text(in: client))")
        }
        text = lines.joined(separator: "\n") + "\n"
    }

    /// Replaces the keys of a client that the text has.
    ///
    /// - Parameters:
    ///   - old: those that it has now, in their order.
    ///   - new: some of these, perhaps with another end, in the same order, then those that are added.
    mutating func replace(_ old: [Caller.Key], of name: String, with new: [Caller.Key]) throws(NotEditable) {
        let path = ["keys", name, "hashes"]
        guard let places = TOMLPlaces(text, table: path.dropLast(), key: "hashes"), let before = Self.tree(text) else {
            throw NotEditable()
        }
        var expected: [SettingsValue] = []
        var bytes = Array(text.utf8)
        if let items = places.items, let value = places.value, case .list(let values)? = before.value(at: path) {
            guard items.count == old.count, values.count == old.count else { throw NotEditable() }
            let isAdded = { (key: Caller.Key) in !old.contains { $0.digest == key.digest } }
            expected = new.map { key in old.firstIndex(of: key).map { values[$0] } ?? Self.value(key) }
            Self.append(new.filter(isAdded).map(KeyRules.text), to: &bytes, value, after: items.last)
            // From the last to the first, so that the places before stay where they are.
            for (item, key) in zip(items, old).reversed() {
                let kept = new.first { $0.digest == key.digest }
                if let kept {
                    if kept != key { bytes.replaceSubrange(item, with: Array(KeyRules.text(kept).utf8)) }
                } else {
                    Self.remove(item, from: &bytes)
                }
            }
        } else {
            guard places.value == nil else { throw NotEditable() }
            expected = new.map(Self.value)
            bytes.insert(contentsOf: Array("hashes = \(Self.list(new))\n".utf8), at: places.tableStart)
        }
        let changed = String(decoding: bytes, as: UTF8.self)
        var wanted = before
        wanted.set(expected, at: path)
        guard Self.tree(changed) == wanted else { throw NotEditable() }
        text = changed
    }

    /// Puts items at the end of a list, on lines of their own where its closing bracket has one.
    private static func append(_ items: [String], to bytes: inout [UInt8], _ value: Range<Int>, after last: Range<Int>?)
    {
        guard !items.isEmpty else { return }
        let end = value.upperBound - 1
        var line = end
        while isBlank(bytes[line - 1]) { line -= 1 }
        let lines = items.map { "    \($0),\n" }.joined()
        if bytes[line - 1] == UInt8(ascii: "\n") {
            bytes.insert(contentsOf: Array(lines.utf8), at: line)
            if let last, comma(bytes, after: last.upperBound) == nil {
                bytes.insert(UInt8(ascii: ","), at: last.upperBound)
            }
        } else if let last {
            bytes.insert(contentsOf: Array(items.map { ", \($0)" }.joined().utf8), at: last.upperBound)
        } else {
            bytes.insert(contentsOf: Array("\n\(lines)".utf8), at: end)
        }
    }

    /// The place of the comma that follows an item, before anything but comments.
    private static func comma(_ bytes: [UInt8], after start: Int) -> Int? {
        var index = start
        while index < bytes.count {
            if bytes[index] == UInt8(ascii: "#") {
                index = bytes[index...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
            } else if isBlank(bytes[index]) || bytes[index] == UInt8(ascii: "\n") || bytes[index] == UInt8(ascii: "\r")
            {
                index += 1
            } else {
                return bytes[index] == UInt8(ascii: ",") ? index : nil
            }
        }
        return nil
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }

    /// Removes an item with the comma that follows it, and with its line if nothing else stands there.
    private static func remove(_ item: Range<Int>, from bytes: inout [UInt8]) {
        var end = item.upperBound
        if let comma = comma(bytes, after: end) {
            if bytes[end..<comma].allSatisfy(isBlank) { end = comma + 1 } else { bytes.remove(at: comma) }
        }
        while end < bytes.count, isBlank(bytes[end]) { end += 1 }
        var start = item.lowerBound
        while start > 0, isBlank(bytes[start - 1]) { start -= 1 }
        let isLine =
            end < bytes.count && bytes[end] == UInt8(ascii: "\n") && start > 0 && bytes[start - 1] == UInt8(ascii: "\n")
        bytes.removeSubrange(isLine ? start..<(end + 1) : item.lowerBound..<end)
    }

    private static func list(_ keys: [Caller.Key]) -> String {
        keys.isEmpty ? "[]" : "[\n" + keys.map { "    \(KeyRules.text($0)),\n" }.joined() + "]"
    }

    /// What a text says; nil for one that is not TOML, in which nothing can be changed.
    private static func tree(_ text: String) -> SettingsNode? {
        // The reason is lost on purpose: the file has been read a moment ago.
        try? TOMLDocument.parse(text, from: "")
    }

    private static func value(_ key: Caller.Key) -> SettingsValue {
        var members = ["id": key.id, "sha256": key.digest.hex]
        members["expires"] = key.expires?.rfc3339
        return .table(members.mapValues { SettingsNode(value: .text($0), file: "") })
    }
}

extension SettingsNode {
    /// Puts a list at the end of a path of tables, all but the last of which are there.
    fileprivate mutating func set(_ items: [SettingsValue], at path: [String]) {
        guard let key = path.first, case .table(var nodes) = value else { return }
        if path.count == 1 {
            nodes[key] = SettingsNode(value: .list(items), file: file)
        } else {
            nodes[key]?.set(items, at: Array(path.dropFirst()))
        }
        value = .table(nodes)
    }
}
