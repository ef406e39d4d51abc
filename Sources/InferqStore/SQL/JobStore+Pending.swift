import GRDB

/// How many jobs are pending, as a start counts them.
extension JobStore {
    package struct PendingCount: Sendable {
        package let model: String
        /// Nil: everyone's, those of the clients that are named among them.
        package let client: String?
        package let priority: Int
        package let isDue: Bool
        package let count: Int
    }

    /// Pending jobs by model and priority: those of all clients together, and then those of each client but "anonymous".
    package func pendingCounts() throws -> [PendingCount] {
        try readAtStart { [names] db in
            try (SQL.pendingCounts(db) + SQL.clientsPendingCounts(db)).compactMap { row in
                guard let model = names.models.name(of: row.model) else { return nil }
                return PendingCount(
                    model: model, client: row.client.flatMap(names.clients.name), priority: row.priority,
                    isDue: row.isDue, count: row.count)
            }
        }
    }
}

private enum PendingColumn: CInt, NamedColumn {
    case model, priority, count, isDue
}

private enum ClientPendingColumn: CInt, NamedColumn {
    case client, model, phase, priority
}

/// What is counted together.
private struct PendingKey: Hashable {
    let model: Int64
    let client: Int64
    let priority: Int
    let isDue: Bool
}

extension SQL {
    fileprivate struct PendingRow {
        let model: Int64
        var client: Int64?
        let priority: Int
        let isDue: Bool
        let count: Int
    }

    /// How many jobs of each model and priority are pending: from the indexes alone.
    fileprivate static func pendingCounts(_ db: Database) throws -> [PendingRow] {
        let due = "SELECT model, priority, count(*), 1 FROM job INDEXED BY job_due WHERE phase = 1 GROUP BY 1, 2"
        // One index each.
        let waiting = ["IS NULL", "IS NOT NULL"].map { kind in
            "SELECT model, priority, count(*), 0 FROM job WHERE phase = 0 AND due \(kind) GROUP BY 1, 2"
        }
        return try ([due] + waiting).flatMap { sql in
            try db.with(SQLText<PendingColumn>(sql)) { row in
                try row.array {
                    PendingRow(
                        model: try $0.int64(.model), priority: try $0.int(.priority), isDue: try $0.int(.isDue) == 1,
                        count: try $0.int(.count))
                }
            }
        }
    }

    private static let clientsPending = SQLText<ClientPendingColumn>(
        """
        SELECT client.id, model.id, phase, priority FROM client CROSS JOIN model \
        CROSS JOIN job INDEXED BY job_of_client \
        ON job.client = client.id AND job.client > \(ClientNames.anonymous) AND job.model = model.id \
        WHERE phase IN (0, 1)
        """
    )

    /// The same of each client that has jobs of its own: also from an index alone, without a look at those that have ended.
    ///
    /// Counted here: SQLite would sort them first, since the priority is the last column of the index.
    fileprivate static func clientsPendingCounts(_ db: Database) throws -> [PendingRow] {
        try db.with(clientsPending) { row in
            var counts: [PendingKey: Int] = [:]
            while try row.step() {
                let key = PendingKey(
                    model: try row.int64(.model), client: try row.int64(.client), priority: try row.int(.priority),
                    isDue: try row.int(.phase) == 1)
                counts[key, default: 0] += 1
            }
            return counts.map { key, count in
                PendingRow(
                    model: key.model, client: key.client, priority: key.priority, isDue: key.isDue, count: count)
            }
        }
    }
}
