import GRDB
import InferqCore

/// The columns of a body, in the order of their parameters.
private enum BodyColumn: CInt, NamedColumn {
    case place, bytes
}

/// Bodies that are too long for their job's row.
///
/// SQLite rewrites a row, with every page of a long value in it, when any of its columns changes its length: each of a
/// job's three commits would write its input.
extension SQL {
    /// Bytes up to which a body is in its job's row: about what fits into a page of 2 KiB with it.
    static let bodyInRow = 1024

    enum Side: Int64 {
        case input = 0
        case output = 1
    }

    private static let insertion = SQLText<BodyColumn>(
        "INSERT OR REPLACE INTO body (\(BodyColumn.allCases.names)) VALUES (\(BodyColumn.allCases.parameters))")
    private static let selection = SQLText<OnlyColumn>("SELECT bytes FROM body WHERE place = ?")
    private static let deletion = SQLText<OnlyColumn>("DELETE FROM body WHERE place BETWEEN ? AND ?")

    private static func place(_ job: JobKey, _ side: Side) -> Int64 { job.value &* 2 &+ side.rawValue }

    /// What the row gets of a body whose bytes are not in a file: all of a short one. A longer one is stored beside it.
    static func store(_ db: Database, _ bytes: [UInt8]?, _ side: Side, of job: JobKey) throws -> [UInt8]? {
        guard let bytes, bytes.count > bodyInRow else { return bytes }
        try db.with(insertion) { row in
            try row.bind(.place, place(job, side))
            try row.bind(.bytes, bytes)
            try row.run()
        }
        return nil
    }

    /// The bytes of a body.
    ///
    /// - Parameter inRow: what the row has of it: all, in a store from before there was a place beside it.
    /// - Returns: nil for one that is in a file or in pieces.
    /// - Throws: ``StoreError/damaged(reason:)`` when it should be there and is not.
    static func bytes(
        _ db: Database, of payload: Payload?, inRow: [UInt8]?, _ side: Side, of job: JobKey
    ) throws -> [UInt8]? {
        if let inRow { return inRow }
        guard let payload, case .unread = payload.content else { return nil }
        return try db.with(selection) { row in
            try row.bind(place(job, side))
            guard try row.step() else { throw StoreError.damaged(reason: "a body is missing") }
            return try row.bytes(.value)
        }
    }

    /// Deletes what is beside the row of a job.
    static func deleteBodies(_ db: Database, of job: JobKey) throws {
        try db.with(deletion) { row in
            try row.bind(place(job, .input))
            try row.bind(place(job, .output))
            try row.run()
        }
    }
}
