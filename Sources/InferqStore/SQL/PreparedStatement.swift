import GRDB
import GRDBSQLite

/// A cached statement at work, its values bound and read by SQLite's own functions.
///
/// GRDB keeps the connections, the transactions and the cache. Its lists of arguments and its rows box every value, and
/// a cursor's row begins with a table of the columns' names; on the path of a submit that costs as much as SQLite.
/// So the statements of hot paths take this way. It traps on nothing that a damaged file can hold: a value of another
/// type than the column's is an error.
struct PreparedStatement {
    private let handle: OpaquePointer
    private let db: Database
    private var bound: CInt = 0

    fileprivate init(_ handle: OpaquePointer, _ db: Database) {
        self.handle = handle
        self.db = db
    }

    private static let copied = unsafeBitCast(-1, to: sqlite3_destructor_type.self)

    private func check(_ code: CInt) throws {
        guard code != SQLITE_OK, code != SQLITE_DONE, code != SQLITE_ROW else { return }
        let text = sqlite3_errmsg(sqlite3_db_handle(handle)).map { String(cString: $0) }
        throw DatabaseError(resultCode: ResultCode(rawValue: code), message: text)
    }

    // MARK: Binding, in the order of the question marks

    mutating func bind(_ value: Int64) throws {
        bound += 1
        try check(sqlite3_bind_int64(handle, bound, value))
    }

    mutating func bind(_ value: Int) throws {
        try bind(Int64(value))
    }

    mutating func bind(_ value: Int64?) throws {
        guard let value else { return try bindNull() }
        try bind(value)
    }

    mutating func bind(_ value: String?) throws {
        guard var value else { return try bindNull() }
        bound += 1
        try check(
            value.withUTF8 { text in
                text.withMemoryRebound(to: CChar.self) {
                    sqlite3_bind_text(handle, bound, $0.baseAddress, CInt($0.count), Self.copied)
                }
            })
    }

    mutating func bind(_ value: [UInt8]?) throws {
        guard let value else { return try bindNull() }
        bound += 1
        try check(
            value.withUnsafeBytes {
                $0.isEmpty
                    ? sqlite3_bind_zeroblob(handle, bound, 0)
                    : sqlite3_bind_blob64(handle, bound, $0.baseAddress, UInt64($0.count), Self.copied)
            })
    }

    mutating func bind(_ value: UUIDv7?) throws {
        guard let value else { return try bindNull() }
        bound += 1
        let halves = (value.high.bigEndian, value.low.bigEndian)
        try check(withUnsafeBytes(of: halves) { sqlite3_bind_blob(handle, bound, $0.baseAddress, 16, Self.copied) })
    }

    private mutating func bindNull() throws {
        bound += 1
        try check(sqlite3_bind_null(handle, bound))
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
        while try step() {}
    }

    fileprivate func reset() {
        sqlite3_reset(handle)
    }

    // MARK: Reading the row, columns counted from 0

    private func type(_ column: CInt) -> CInt { sqlite3_column_type(handle, column) }

    private func corrupt(_ column: CInt) -> StoreError {
        let name = sqlite3_column_name(handle, column).map { String(cString: $0) } ?? "\(column)"
        return .corrupt(path: "column \(name)", reason: "a value of another type than the column's")
    }

    func isNull(_ column: CInt) -> Bool { type(column) == SQLITE_NULL }

    func int64(_ column: CInt) throws -> Int64 {
        guard type(column) == SQLITE_INTEGER else { throw corrupt(column) }
        return sqlite3_column_int64(handle, column)
    }

    func int(_ column: CInt) throws -> Int {
        Int(try int64(column))
    }

    func optionalInt64(_ column: CInt) throws -> Int64? {
        try isNull(column) ? nil : int64(column)
    }

    func optionalInt(_ column: CInt) throws -> Int? {
        try isNull(column) ? nil : int(column)
    }

    func time(_ column: CInt) throws -> Timestamp? {
        try optionalInt64(column).map(Timestamp.init(milliseconds:))
    }

    func text(_ column: CInt) throws -> String? {
        switch type(column) {
        case SQLITE_NULL: return nil
        case SQLITE_TEXT:
            guard let start = sqlite3_column_text(handle, column) else { return "" }
            let bytes = UnsafeBufferPointer(start: start, count: Int(sqlite3_column_bytes(handle, column)))
            return String(decoding: bytes, as: UTF8.self)
        default: throw corrupt(column)
        }
    }

    func bytes(_ column: CInt) throws -> [UInt8]? {
        switch type(column) {
        case SQLITE_NULL: return nil
        case SQLITE_BLOB:
            let start = sqlite3_column_blob(handle, column)
            return Array(UnsafeRawBufferPointer(start: start, count: Int(sqlite3_column_bytes(handle, column))))
        default: throw corrupt(column)
        }
    }

    func uuid(_ column: CInt) throws -> UUIDv7? {
        guard !isNull(column) else { return nil }
        guard type(column) == SQLITE_BLOB, sqlite3_column_bytes(handle, column) == 16,
            let start = sqlite3_column_blob(handle, column)
        else { throw corrupt(column) }
        return UUIDv7(
            high: UInt64(bigEndian: start.loadUnaligned(as: UInt64.self)),
            low: UInt64(bigEndian: start.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        )
    }
}

extension Database {
    /// Works with the cached statement of `sql`; its values and rows are only valid inside.
    ///
    /// - Throws: `DatabaseError`, ``StoreError/corrupt(path:reason:)``, or what `work` throws.
    func with<Value>(_ sql: String, _ work: (inout PreparedStatement) throws -> Value) throws -> Value {
        let statement = try cachedStatement(sql: sql)
        return try withExtendedLifetime(statement) {
            var prepared = PreparedStatement(statement.sqliteStatement, self)
            defer { prepared.reset() }
            return try work(&prepared)
        }
    }
}
