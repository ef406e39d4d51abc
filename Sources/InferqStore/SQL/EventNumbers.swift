import Foundation
import GRDB
import InferqCore
import Synchronization

/// The one sequence of numbers for events and pieces: it grows with each of them, and no number is given twice.
///
/// It is in memory, so that no commit need write it: what was given out can be told from the newest rows, and before
/// those go, it is noted (``SQL/keepEventNumbers(_:)``). A transaction that is rolled back leaves a gap.
final class EventNumbers: Sendable {
    private let last = Mutex<Int64>(0)

    /// Called at the start, before any is given out.
    func begin(after number: Int64) {
        last.withLock { $0 = number }
    }

    /// On the writer alone, so that numbers are committed in their order.
    func next() -> Int64 {
        last.withLock { last in
            last += 1
            return last
        }
    }
}

extension SQL {
    /// The name of the note among the store's own.
    static let lastEventNote = "last_event"

    private static let lastNumber = SQLText<OnlyColumn>(
        """
        SELECT max(ifnull((SELECT max(id) FROM event), 0), ifnull((SELECT max(id) FROM piece), 0), \
        ifnull((SELECT CAST(CAST(value AS TEXT) AS INTEGER) FROM meta WHERE name = '\(lastEventNote)'), 0))
        """
    )

    /// The newest number that was ever given to an event or a piece that was committed, 0 if none was.
    static func lastEventNumber(_ db: Database) throws -> Int64 {
        try db.with(lastNumber) { row in
            guard try row.step() else { return 0 }
            return try row.int64(.value)
        }
    }

    /// Notes the newest number. Called before rows of events or pieces are deleted.
    static func keepEventNumbers(_ db: Database) throws {
        let statement = try db.cachedStatement(
            sql: """
                INSERT INTO meta (name, value) VALUES ('\(lastEventNote)', ?1) ON CONFLICT (name) \
                DO UPDATE SET value = excluded.value WHERE value <> excluded.value
                """)
        try statement.execute(arguments: [Data(String(try lastEventNumber(db)).utf8)])
    }
}
