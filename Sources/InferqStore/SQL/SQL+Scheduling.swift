import GRDB
import InferqCore

/// Due jobs that were looked at, and those of them with the priority that was asked for.
private enum OlderColumn: CInt, NamedColumn {
    case seen, count
}

/// What is due, and when.
extension SQL {
    private static let olderDue = SQLText<OnlyColumn>(
        """
        SELECT count(*) FROM (SELECT 1 FROM job WHERE model = ? AND phase = 1 AND priority = ? AND key < ? LIMIT ?)
        """
    )

    /// Jobs whose pause is over (by a millisecond: both ends of it were cut off to one) or whose `run_at` has come, the
    /// earliest first; at most `limit` of each.
    static func waitingJobs(_ db: Database, until now: Moment, limit: Int) throws -> [JobKey] {
        let pausing = try db.cachedStatement(
            sql: "SELECT key FROM job WHERE phase = 0 AND due IS NOT NULL AND due < ? ORDER BY due LIMIT ?"
        )
        let waiting = try db.cachedStatement(
            sql: "SELECT key FROM job WHERE phase = 0 AND due IS NULL AND run_at <= ? ORDER BY run_at LIMIT ?"
        )
        let keys =
            try Int64.fetchAll(pausing, arguments: [now.elapsed.milliseconds, limit])
            + Int64.fetchAll(waiting, arguments: [now.wall.milliseconds, limit])
        return keys.map(JobKey.init(value:))
    }

    /// Jobs whose first attempt has not begun in time.
    static func expiredJobs(_ db: Database, at now: Moment, limit: Int) throws -> [JobKey] {
        let statement = try db.cachedStatement(
            sql: """
                SELECT key FROM job WHERE expiry IS NOT NULL AND attempt = 0 AND phase < 2 AND expiry <= ? \
                ORDER BY expiry LIMIT ?
                """
        )
        return try Int64.fetchAll(statement, arguments: [now.elapsed.milliseconds, limit]).map(JobKey.init(value:))
    }

    /// How long it is until a job becomes due or expires; nil: none will.
    static func nextDeadline(_ db: Database, from now: Moment) throws -> Duration? {
        func first(_ sql: String) throws -> Int64? { try Int64.fetchOne(db.cachedStatement(sql: sql)) }
        let runAt = try first("SELECT min(run_at) FROM job WHERE phase = 0 AND due IS NULL")
        let due = try first("SELECT min(due) FROM job WHERE phase = 0 AND due IS NOT NULL")
        let expiry = try first(
            "SELECT min(expiry) FROM job WHERE expiry IS NOT NULL AND attempt = 0 AND phase < 2"
        )
        return [
            runAt.map { Timestamp(milliseconds: $0) - now.wall },
            due.map { Elapsed(milliseconds: $0 + 1) - now.elapsed },
            expiry.map { Elapsed(milliseconds: $0) - now.elapsed },
        ].compactMap { $0 }.min()
    }

    static func runningJobs(_ db: Database) throws -> [JobKey] {
        let statement = try db.cachedStatement(
            sql: "SELECT key FROM job WHERE model IN (SELECT id FROM model) AND phase = 2 ORDER BY key"
        )
        return try Int64.fetchAll(statement).map(JobKey.init(value:))
    }

    /// How many due jobs of the same model and priority are older; nil when there are `limit` or more.
    static func olderDueJobs(_ db: Database, model: Int64, priority: Int, key: JobKey, limit: Int) throws -> Int? {
        let count = try db.with(olderDue) { row in
            try row.bind(model)
            try row.bind(priority)
            try row.bind(key)
            try row.bind(limit)
            return try row.step() ? try row.int(.value) : 0
        }
        return count < limit ? count : nil
    }

    /// The same of one client's jobs; nil when `limit` or more are older, whatever their priority: the index has them by age.
    static func olderDueJobs(
        _ db: Database, of client: Int64, model: Int64, priority: Int, key: JobKey, limit: Int
    ) throws -> Int? {
        let sql = """
            SELECT count(*), ifnull(sum(priority = ?), 0) FROM (SELECT priority FROM \(jobs(of: client)) \
            AND model = ? AND phase = 1 AND key < ? ORDER BY key LIMIT ?)
            """
        return try db.with(SQLText<OlderColumn>(sql)) { row in
            try row.bind(priority)
            try row.bind(client)
            try row.bind(model)
            try row.bind(key)
            try row.bind(limit)
            guard try row.step(), try row.int(.seen) < limit else { return nil }
            return try row.int(.count)
        }
    }
}

/// Pages of jobs.
extension SQL {
    /// What a list looks at.
    struct Span {
        let keys: Range<JobKey>
        /// When the jobs were submitted, both ends left out; nil: no matter when.
        let created: (after: Int64, before: Int64)?
        let limit: Int

        fileprivate var condition: String {
            "key >= ? AND key < ?" + (created == nil ? "" : " AND created_at > ? AND created_at < ?")
        }

        fileprivate func bind(_ row: inout PreparedStatement<some NamedColumn>) throws {
            try row.bind(keys.lowerBound)
            try row.bind(keys.upperBound)
            if let created {
                try row.bind(created.after)
                try row.bind(created.before)
            }
            try row.bind(limit)
        }
    }

    /// A run of one model's jobs in one phase, newest first.
    ///
    /// - Parameter client: whose jobs; nil: everyone's.
    static func listedKeys(
        _ db: Database, model: Int64, client: Int64? = nil, phase: Int, _ span: Span
    ) throws -> [JobKey] {
        let sql = SQLText<OnlyColumn>(
            """
            SELECT key FROM \(jobs(of: client)) AND model = ? AND phase = ? AND \(span.condition) \
            ORDER BY key DESC LIMIT ?
            """
        )
        return try db.with(sql) { row in
            if let client { try row.bind(client) }
            try row.bind(model)
            try row.bind(phase)
            try span.bind(&row)
            var keys: [JobKey] = []
            while try row.step() { keys.append(JobKey(value: try row.int64(.value))) }
            return keys
        }
    }

    /// The table and the first condition of a question for one client's jobs, or for everyone's.
    ///
    /// The index has no jobs of "anonymous": for those, the rows of all are looked at.
    static func jobs(of client: Int64?) -> String {
        switch client {
        case nil: "job WHERE TRUE"
        case ClientNames.anonymous: "job WHERE client = ?"
        default: "job INDEXED BY job_of_client WHERE client = ? AND client > \(ClientNames.anonymous)"
        }
    }

    /// All jobs, newest first.
    static func listedJobs(_ db: Database, _ span: Span, _ names: StoredNames) throws -> [Job] {
        let sql = SQLText<JobColumn>("SELECT \(head) FROM job WHERE \(span.condition) ORDER BY key DESC LIMIT ?")
        return try db.with(sql) { row in
            try span.bind(&row)
            var jobs: [Job] = []
            while try row.step() { jobs.append(try job(row, names)) }
            return jobs
        }
    }

    /// The phases that a client knows under one status.
    static func phases(of status: Status) -> [Int] {
        switch status {
        case .pending: [0, 1]
        case .running: [2]
        case .completed: [3]
        case .failed: [4]
        case .cancelled: [5]
        }
    }
}
