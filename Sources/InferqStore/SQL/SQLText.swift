import GRDB
import Synchronization

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
///
/// A static constant, so that it is prepared once; one whose text is put together again is found by GRDB, by its text.
struct SQLText<Column: NamedColumn>: Sendable {
    let text: String
    private let prepared = PreparedStatements()

    init(_ text: String) {
        self.text = text
    }

    /// As it was prepared for a connection.
    ///
    /// - Throws: `DatabaseError`.
    func statement(_ db: Database) throws -> Statement {
        try prepared.statement(text, db)
    }
}

/// One statement as it was prepared for each of several connections.
///
/// GRDB keeps the statements of a connection by their texts, and to hash a text of some hundred bytes takes longer than to bind
/// a row. The references are weak, so that a connection's statements go when GRDB lets them go.
private final class PreparedStatements: Sendable {
    private struct Known: @unchecked Sendable {  // proof: a statement is used on its own connection's queue alone
        let connection: ObjectIdentifier
        weak var statement: Statement?
    }

    private let known = Mutex<[Known]>([])
    /// Connections that are remembered: more than one store has, for the writer and the readers.
    private static let most = 128

    func statement(_ text: String, _ db: Database) throws -> Statement {
        let connection = ObjectIdentifier(db)
        let found = known.withLock { known -> Known? in
            for index in known.indices where known[index].connection == connection { return known[index] }
            return nil
        }
        if let statement = found?.statement { return statement }
        let statement = try db.cachedStatement(sql: text)
        let made = Known(connection: connection, statement: statement)
        known.withLock { known in
            known.removeAll { $0.connection == connection }
            // Those of connections that are closed are the first ones. None is looked at here: it would be held for a moment.
            if known.count == Self.most { known.removeFirst() }
            known.append(made)
        }
        return statement
    }
}

/// The column of a row that has only one.
enum OnlyColumn: CInt, NamedColumn {
    case value
}
