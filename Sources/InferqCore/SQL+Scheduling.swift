import GRDB

/// What is due, and when.
extension SQL {
    /// The first due jobs of a model, by priority, then age.
    static func dueJobs(_ db: Database, model: Int64, limit: Int) throws -> [Candidate] {
        try db.with(
            """
            SELECT key, priority, crashes FROM job WHERE model = ? AND phase = 1 ORDER BY priority DESC, key LIMIT ?
            """
        ) { row in
            try row.bind(model)
            try row.bind(limit)
            var candidates: [Candidate] = []
            while try row.step() {
                candidates.append(
                    Candidate(
                        key: JobKey(value: try row.int64(0)),
                        priority: try row.int(1),
                        isSuspect: try row.int(2) >= Job.crashesOfSuspect
                    )
                )
            }
            return candidates
        }
    }

    /// Jobs whose `run_at` has come, the earliest first.
    static func waitingJobs(_ db: Database, until now: Timestamp, limit: Int) throws -> [JobKey] {
        let statement = try db.cachedStatement(
            sql: "SELECT key FROM job WHERE phase = 0 AND run_at <= ? ORDER BY run_at LIMIT ?"
        )
        return try Int64.fetchAll(statement, arguments: [now.milliseconds, limit]).map(JobKey.init(value:))
    }

    /// Jobs whose first attempt has not begun by `expires_at`.
    static func expiredJobs(_ db: Database, at now: Timestamp, limit: Int) throws -> [JobKey] {
        let statement = try db.cachedStatement(
            sql: """
                SELECT key FROM job WHERE expires_at IS NOT NULL AND attempt = 0 AND phase < 2 AND expires_at <= ? \
                ORDER BY expires_at LIMIT ?
                """
        )
        return try Int64.fetchAll(statement, arguments: [now.milliseconds, limit]).map(JobKey.init(value:))
    }

    /// The next moment at which a job becomes due or expires.
    static func nextDeadline(_ db: Database) throws -> Timestamp? {
        let due = try Int64.fetchOne(db.cachedStatement(sql: "SELECT min(run_at) FROM job WHERE phase = 0"))
        let expiry = try Int64.fetchOne(
            db.cachedStatement(
                sql: """
                    SELECT min(expires_at) FROM job WHERE expires_at IS NOT NULL AND attempt = 0 AND phase < 2
                    """
            )
        )
        return [due, expiry].compactMap { $0 }.min().map(Timestamp.init(milliseconds:))
    }

    static func runningJobs(_ db: Database) throws -> [JobKey] {
        let statement = try db.cachedStatement(
            sql: "SELECT key FROM job WHERE model IN (SELECT id FROM model) AND phase = 2 ORDER BY key"
        )
        return try Int64.fetchAll(statement).map(JobKey.init(value:))
    }

    /// How many jobs of each model and priority are pending: read once, at the start, from the index alone.
    static func pendingCounts(_ db: Database) throws -> [(model: Int64, priority: Int, isDue: Bool, count: Int)] {
        let due = try db.cachedStatement(
            sql: "SELECT model, priority, count(*) FROM job INDEXED BY job_due WHERE phase = 1 GROUP BY 1, 2"
        )
        let waiting = try db.cachedStatement(
            sql: "SELECT model, priority, count(*) FROM job WHERE phase = 0 GROUP BY 1, 2"
        )
        return try Row.fetchCursor(due).array { ($0[0], $0[1], true, $0[2]) }
            + Row.fetchCursor(waiting).array { ($0[0], $0[1], false, $0[2]) }
    }

    /// How many due jobs of the same model and priority are older, counted up to `limit`.
    static func olderDueJobs(_ db: Database, model: Int64, priority: Int, key: JobKey, limit: Int) throws -> Int {
        try db.with(
            """
            SELECT count(*) FROM (SELECT 1 FROM job WHERE model = ? AND phase = 1 AND priority = ? AND key < ? LIMIT ?)
            """
        ) { row in
            try row.bind(model)
            try row.bind(priority)
            try row.bind(key.value)
            try row.bind(limit)
            return try row.step() ? try row.int(0) : 0
        }
    }
}

/// Pages of jobs.
extension SQL {
    /// A run of one model's jobs in one phase, newest first.
    static func listedKeys(
        _ db: Database,
        model: Int64,
        phase: Int,
        from lower: JobKey,
        below upper: JobKey,
        limit: Int
    ) throws -> [JobKey] {
        let statement = try db.cachedStatement(
            sql: """
                SELECT key FROM job WHERE model = ? AND phase = ? AND key >= ? AND key < ? ORDER BY key DESC LIMIT ?
                """
        )
        return try Int64.fetchAll(statement, arguments: [model, phase, lower.value, upper.value, limit])
            .map(JobKey.init(value:))
    }

    /// All jobs, newest first.
    static func listedJobs(
        _ db: Database,
        from lower: JobKey,
        below upper: JobKey,
        limit: Int,
        _ names: ModelNames
    ) throws -> [Job] {
        try db.with("SELECT \(head) FROM job WHERE key >= ? AND key < ? ORDER BY key DESC LIMIT ?") { row in
            try row.bind(lower.value)
            try row.bind(upper.value)
            try row.bind(limit)
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
