import CSQLite

/// What is set once for all databases of a process, before the first of them is opened.
enum SQLiteProcess {
    /// Leaves out the sums of what SQLite has allocated, which no one reads here.
    ///
    /// They stand under one lock that all connections share, and that every allocation and every release takes
    /// (https://sqlite.org/malloc.html, section 3.1.2). Where SQLite is at work already, it stays as it is.
    static let setUp: Void = {
        _ = inferq_sqlite3_config_memstatus(0)
    }()
}
