import GRDB
package import InferqCore

/// Whose due jobs are read.
package enum DueOwners: Sendable, Equatable {
    /// Those of all clients but these, and of no one.
    case everyone(but: [String])
    case client(String)
}

/// The scheduler's question.
extension JobStore {
    /// Those of these jobs that are still due, with their inputs as far as those are in the rows.
    package func due(_ jobs: [JobKey]) async throws -> [Job] {
        try await reads.perform { [names] db in
            try jobs.compactMap { try SQL.selectWholeJob(db, $0, names) }.filter(\.isDue)
        }
    }

    /// The best due jobs of a model, by priority, then age.
    package func dueJobs(
        _ model: String, of owners: DueOwners = .everyone(but: []), limit: Int
    ) async throws -> [Candidate] {
        guard let id = names.models.id(of: model) else { return [] }
        return try await scan { [names] db in
            switch owners {
            case .everyone(let others):
                // Also those that have had no job: their first one may come at any moment.
                let excluded = others.map { names.clients.entry(of: $0).id }
                return try SQL.dueJobs(db, model: id, but: excluded, limit: limit, names)
            case .client(let client):
                guard let client = names.clients.id(of: client) else { return [] }
                return try SQL.dueJobs(db, model: id, of: client, limit: limit, names)
            }
        }
    }
}

private enum DueColumn: CInt, NamedColumn {
    case key, priority, crashes, client
}

extension SQL {
    private static let columns = DueColumn.allCases.map { "job.\($0.name)" }.joined(separator: ", ")

    private static let due = SQLText<DueColumn>(
        "SELECT \(columns) FROM job WHERE model = ? AND phase = 1 ORDER BY priority DESC, key LIMIT ?"
    )

    /// The clients that are left out are a list in JSON.
    private static let dueOfOthers = SQLText<DueColumn>(
        """
        SELECT \(columns) FROM job INDEXED BY job_due \
        WHERE model = ? AND phase = 1 AND ifnull(client, 0) NOT IN (SELECT value FROM json_each(?)) \
        ORDER BY priority DESC, key LIMIT ?
        """
    )

    /// The best ones are found in the index alone.
    private static let dueOfClient = SQLText<DueColumn>(
        """
        SELECT \(columns) FROM (SELECT key FROM job INDEXED BY job_of_client \
        WHERE client = ? AND client > \(ClientNames.anonymous) AND model = ? AND phase = 1 \
        ORDER BY priority DESC, key LIMIT ?) AS best CROSS JOIN job ON job.key = best.key \
        ORDER BY job.priority DESC, job.key
        """
    )

    fileprivate static func dueJobs(
        _ db: Database, model: Int64, but clients: [Int64], limit: Int, _ names: StoredNames
    ) throws -> [Candidate] {
        try db.with(clients.isEmpty ? due : dueOfOthers) { row in
            try row.bind(model)
            if !clients.isEmpty { try row.bind("[\(clients.map(String.init).joined(separator: ","))]") }
            try row.bind(limit)
            return try candidates(row, names)
        }
    }

    fileprivate static func dueJobs(
        _ db: Database, model: Int64, of client: Int64, limit: Int, _ names: StoredNames
    ) throws -> [Candidate] {
        try db.with(dueOfClient) { row in
            try row.bind(client)
            try row.bind(model)
            try row.bind(limit)
            return try candidates(row, names)
        }
    }

    private static func candidates(
        _ row: PreparedStatement<DueColumn>, _ names: StoredNames
    ) throws -> [Candidate] {
        var candidates: [Candidate] = []
        while try row.step() {
            candidates.append(
                Candidate(
                    key: JobKey(value: try row.int64(.key)),
                    priority: try row.int(.priority),
                    isSuspect: try row.int(.crashes) >= Job.crashesOfSuspect,
                    client: try row.optionalInt64(.client).flatMap(names.clients.name)
                )
            )
        }
        return candidates
    }
}
