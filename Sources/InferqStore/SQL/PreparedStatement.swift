import GRDB
import GRDBSQLite
import InferqCore

/// A cached statement at work, its values bound and read by SQLite's own functions.
///
/// GRDB keeps the connections, the transactions and the cache. Its lists of arguments and its rows box every value, and
/// a cursor's row begins with a table of the columns' names; on the path of a submit that costs as much as SQLite.
/// So the statements of hot paths take this way. It traps on nothing that a damaged file can hold: a value of another
/// type than the column's is an error.
struct PreparedStatement<Column: NamedColumn> {
    private let handle: OpaquePointer
    /// The parameter that was bound last, of those that are bound in their order.
    private var mark: CInt = 0
    /// The columns whose parameters were bound, one bit each.
    private var columns: UInt64 = 0

    fileprivate init(_ handle: OpaquePointer) {
        self.handle = handle
    }

    private func check(_ code: CInt) throws {
        guard code != SQLITE_OK, code != SQLITE_DONE, code != SQLITE_ROW else { return }
        let text = sqlite3_errmsg(sqlite3_db_handle(handle)).map { String(cString: $0) }
        throw DatabaseError(resultCode: ResultCode(rawValue: code), message: text)
    }

    // MARK: Binding

    /// Binds the next parameter, in the order of their numbers.
    mutating func bind(_ value: some StoredValue) throws {
        mark += 1
        try check(value.bind(to: handle, at: mark))
    }

    /// Binds the parameter of a column.
    mutating func bind(_ column: Column, _ value: some StoredValue) throws {
        columns |= 1 << UInt64(column.rawValue)
        try check(value.bind(to: handle, at: column.rawValue + 1))
    }

    /// Whether each parameter of a column was bound. One that was not would keep the value of the last run.
    private var isComplete: Bool {
        (0..<sqlite3_bind_parameter_count(handle)).allSatisfy { column in
            sqlite3_bind_parameter_name(handle, column + 1) == nil || columns & 1 << UInt64(column) != 0
        }
    }

    // MARK: Running

    /// Goes to the next row; false when there is none.
    func step() throws -> Bool {
        let code = sqlite3_step(handle)
        try check(code)
        return code == SQLITE_ROW
    }

    /// Runs a statement that gives no rows.
    func run() throws {
        assert(isComplete, "a column was not bound")
        while try step() {}
    }

    /// All rows that are left, each read while it is there.
    func array<Value>(_ read: (Self) throws -> Value) throws -> [Value] {
        var values: [Value] = []
        while try step() { values.append(try read(self)) }
        return values
    }

    /// The next row, read while it is there; nil when there is none.
    func first<Value>(_ read: (Self) throws -> Value) throws -> Value? {
        try step() ? read(self) : nil
    }

    fileprivate func reset() {
        sqlite3_reset(handle)
    }

    // MARK: Reading the row

    private func type(_ column: Column) -> CInt { sqlite3_column_type(handle, column.rawValue) }

    private func corrupt(_ column: Column) -> StoreError {
        .corrupt(path: "column \(column.name)", reason: "a value of another type than the column's")
    }

    func isNull(_ column: Column) -> Bool { type(column) == SQLITE_NULL }

    func int64(_ column: Column) throws -> Int64 {
        guard type(column) == SQLITE_INTEGER else { throw corrupt(column) }
        return sqlite3_column_int64(handle, column.rawValue)
    }

    func int(_ column: Column) throws -> Int {
        Int(try int64(column))
    }

    func optionalInt64(_ column: Column) throws -> Int64? {
        try isNull(column) ? nil : int64(column)
    }

    func optionalInt(_ column: Column) throws -> Int? {
        try isNull(column) ? nil : int(column)
    }

    func key(_ column: Column) throws -> JobKey {
        JobKey(value: try int64(column))
    }

    func time(_ column: Column) throws -> Timestamp? {
        try optionalInt64(column).map(Timestamp.init(milliseconds:))
    }

    func elapsed(_ column: Column) throws -> Elapsed? {
        try optionalInt64(column).map(Elapsed.init(milliseconds:))
    }

    /// The value of a column that is never null.
    func present<Value>(_ column: Column, _ read: (Self) -> (Column) throws -> Value?) throws -> Value {
        guard let value = try read(self)(column) else { throw corrupt(column) }
        return value
    }

    func text(_ column: Column) throws -> String? {
        switch type(column) {
        case SQLITE_NULL: return nil
        case SQLITE_TEXT:
            guard let start = sqlite3_column_text(handle, column.rawValue) else { return "" }
            let bytes = UnsafeBufferPointer(start: start, count: Int(sqlite3_column_bytes(handle, column.rawValue)))
            return String(decoding: bytes, as: UTF8.self)
        default: throw corrupt(column)
        }
    }

    func bytes(_ column: Column) throws -> [UInt8]? {
        switch type(column) {
        case SQLITE_NULL: return nil
        case SQLITE_BLOB:
            let start = sqlite3_column_blob(handle, column.rawValue)
            let count = Int(sqlite3_column_bytes(handle, column.rawValue))
            return Array(UnsafeRawBufferPointer(start: start, count: count))
        default: throw corrupt(column)
        }
    }

    func uuid(_ column: Column) throws -> UUIDv7? {
        guard !isNull(column) else { return nil }
        guard type(column) == SQLITE_BLOB, sqlite3_column_bytes(handle, column.rawValue) == 16,
            let start = sqlite3_column_blob(handle, column.rawValue)
        else { throw corrupt(column) }
        return UUIDv7(
            high: UInt64(bigEndian: start.loadUnaligned(as: UInt64.self)),
            low: UInt64(bigEndian: start.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        )
    }
}

extension Database {
    /// Works with a cached statement; its values and rows are only valid inside.
    ///
    /// - Throws: `DatabaseError`, ``StoreError/corrupt(path:reason:)``, or what `work` throws.
    func with<Column: NamedColumn, Value>(
        _ sql: SQLText<Column>,
        _ work: (inout PreparedStatement<Column>) throws -> Value
    ) throws -> Value {
        let statement = try sql.statement(self)
        return try withExtendedLifetime(statement) {
            var prepared = PreparedStatement<Column>(statement.sqliteStatement)
            defer { prepared.reset() }
            return try work(&prepared)
        }
    }
}

// MARK: Transactions

extension Database {
    private static let begin = SQLText<OnlyColumn>("BEGIN IMMEDIATE")
    private static let beginReading = SQLText<OnlyColumn>("BEGIN")
    private static let end = SQLText<OnlyColumn>("COMMIT")

    /// Begins a transaction that will write. GRDB's own way parses the words each time; no one observes its transactions here.
    ///
    /// - Throws: `DatabaseError`.
    func beginWriting() throws { try with(Self.begin) { try $0.run() } }

    /// As ``beginWriting()``, for one that only reads.
    func beginReading() throws { try with(Self.beginReading) { try $0.run() } }

    /// Ends the transaction; of one that has written, all is on disk.
    ///
    /// - Throws: `DatabaseError`; the transaction may still be open.
    func endTransaction() throws { try with(Self.end) { try $0.run() } }
}

// MARK: Values

/// A value that SQLite keeps in a column.
protocol StoredValue {
    /// - Returns: SQLite's code.
    func bind(to statement: OpaquePointer, at parameter: CInt) -> CInt
}

/// SQLite makes a copy before it returns.
private let copied = unsafeBitCast(-1, to: sqlite3_destructor_type.self)

extension Int64: StoredValue {
    func bind(to statement: OpaquePointer, at parameter: CInt) -> CInt {
        sqlite3_bind_int64(statement, parameter, self)
    }
}

extension String: StoredValue {
    func bind(to statement: OpaquePointer, at parameter: CInt) -> CInt {
        var text = self
        return text.withUTF8 { text in
            text.withMemoryRebound(to: CChar.self) {
                sqlite3_bind_text(statement, parameter, $0.baseAddress, CInt($0.count), copied)
            }
        }
    }
}

extension [UInt8]: StoredValue {
    func bind(to statement: OpaquePointer, at parameter: CInt) -> CInt {
        withUnsafeBytes {
            $0.isEmpty
                ? sqlite3_bind_zeroblob(statement, parameter, 0)
                : sqlite3_bind_blob64(statement, parameter, $0.baseAddress, UInt64($0.count), copied)
        }
    }
}

extension UUIDv7: StoredValue {
    /// The 16 bytes in network order.
    func bind(to statement: OpaquePointer, at parameter: CInt) -> CInt {
        withUnsafeBytes(of: (high.bigEndian, low.bigEndian)) {
            sqlite3_bind_blob(statement, parameter, $0.baseAddress, 16, copied)
        }
    }
}

extension Optional: StoredValue where Wrapped: StoredValue {
    func bind(to statement: OpaquePointer, at parameter: CInt) -> CInt {
        self?.bind(to: statement, at: parameter) ?? sqlite3_bind_null(statement, parameter)
    }
}
