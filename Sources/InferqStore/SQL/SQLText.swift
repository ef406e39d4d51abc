/// The columns of a table, or of a row that a statement gives, by name.
///
/// A case's raw value is its place in the row, counted from 0, and one less than the number of its parameter: so both
/// are constants. At most 64.
protocol NamedColumn: CaseIterable, RawRepresentable, Sendable where RawValue == CInt, AllCases == [Self] {}

extension NamedColumn {
    /// As the schema spells it: `event_id` for `eventID`.
    var name: String {
        var name = ""
        var isAfterSmall = false
        for letter in "\(self)" {
            if letter.isUppercase, isAfterSmall { name.append("_") }
            isAfterSmall = letter.isLowercase
            name.append(letter.lowercased())
        }
        return name
    }
}

extension Sequence where Element: NamedColumn {
    /// For SELECT and INSERT: `key, id`.
    var names: String { map(\.name).joined(separator: ", ") }
    /// For VALUES: `?1, ?2`.
    var parameters: String { map { "?\($0.rawValue + 1)" }.joined(separator: ", ") }
    /// For SET: `key = ?1, id = ?2`.
    var assignments: String { map { "\($0.name) = ?\($0.rawValue + 1)" }.joined(separator: ", ") }
}

/// A statement, with the columns that its row or its parameters have.
struct SQLText<Column: NamedColumn>: Sendable {
    let text: String

    init(_ text: String) {
        self.text = text
    }
}

/// The column of a row that has only one.
enum OnlyColumn: CInt, NamedColumn {
    case value
}
