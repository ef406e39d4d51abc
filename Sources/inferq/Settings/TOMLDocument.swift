import TOMLKit

/// Turns the text of a TOML file into a ``SettingsNode``; nothing else knows the parser.
enum TOMLDocument {
    /// No setting lies deeper than four tables. What does is not walked, only refused as unknown.
    private static let deepest = 16

    /// TOMLKit builds and frees nested tables by recursion and has no limit for dotted keys: 20,000 dots overflow a
    /// stack of 8 MiB. Every further level costs a dot or one of the 256 nested values that it does count.
    private static let mostDots = 10_000

    /// - Throws: The problem, with the line and the column of a syntax error.
    static func parse(_ text: String, from file: String) throws(SettingsProblem) -> SettingsNode {
        // TOMLKit hands strings over through C: a NUL would silently cut a value, or the rest of the file.
        for spelling in ["\0", "\\u0000", "\\U00000000"] where text.contains(spelling) {
            throw SettingsProblem(file, Refusal("contains a NUL character", "remove it"))
        }
        guard text.utf8.count(where: { $0 == UInt8(ascii: ".") }) <= mostDots else {
            let advice = "spread the settings over several files in conf.d"
            throw SettingsProblem(file, Refusal("contains more than \(mostDots) dots", advice))
        }
        do throws(TOMLGuard.Fault) {
            var guarded = TOMLGuard(text)
            try guarded.check()
        } catch {
            let place = "line \(error.line), column \(error.column)"
            throw SettingsProblem(file, at: place, Refusal(error.what, "correct the file there"))
        }
        do {
            return node(try TOMLTable(string: text), file, depth: 0)
        } catch let error as TOMLParseError {
            let begin = error.source.begin
            let refusal = Refusal(error.description.visible(limit: 200), "correct the file there")
            throw SettingsProblem(file, at: "line \(begin.line), column \(begin.column)", refusal)
        } catch {
            throw SettingsProblem(file, Refusal("is not TOML (\("\(error)".visible(limit: 200)))", "correct the file"))
        }
    }

    private static func node(_ table: TOMLTable, _ file: String, depth: Int) -> SettingsNode {
        var nodes: [String: SettingsNode] = [:]
        // Not the table's own iterator, which traps on a key that it cannot find again.
        for key in table.keys {
            let value = table[key].map { Self.value($0, file, depth: depth + 1) } ?? .unreadable
            nodes[key] = SettingsNode(value: value, file: file)
        }
        return SettingsNode(value: .table(nodes), file: file)
    }

    private static func value(_ value: any TOMLValueConvertible, _ file: String, depth: Int) -> SettingsValue {
        guard depth <= deepest else { return .unreadable }
        switch value.type {
        case .string: return value.string.map { .text($0) } ?? .unreadable
        case .int: return value.int.map { .whole($0) } ?? .unreadable
        case .double: return value.double.map { .fraction($0) } ?? .unreadable
        case .bool: return value.bool.map { .boolean($0) } ?? .unreadable
        case .date, .time, .dateTime: return .date
        case .array:
            guard let array = value.array else { return .unreadable }
            return .list(array.map { Self.value($0, file, depth: depth + 1) })
        case .table:
            guard let table = value.table else { return .unreadable }
            return node(table, file, depth: depth).value
        }
    }
}
