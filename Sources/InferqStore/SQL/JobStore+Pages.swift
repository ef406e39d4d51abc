import GRDB
package import InferqCore

/// Lists in pages that are counted from the newest job on.
extension JobStore {
    /// Which jobs stand on a page, newest first.
    package struct Page: Sendable, Equatable {
        package let keys: [JobKey]
        /// How many jobs there are on all pages.
        package let total: Int
    }

    /// The page of at most `limit` jobs after the newest `skip`; its effort grows with both.
    ///
    /// - Parameters:
    ///   - model: nil: of all models.
    ///   - client: whose jobs; nil: everyone's.
    package func page(
        of model: String?, client: String? = nil, skip: Int, limit: Int
    ) async throws -> Page {
        guard model != nil || client != nil else {
            return try await scan { db in
                Page(keys: try SQL.newestKeys(db, skip: skip, limit: limit), total: try SQL.jobCount(db))
            }
        }
        let models = model.map { [names.models.id(of: $0)].compactMap { $0 } } ?? names.models.all.map(\.id)
        let owner = client.flatMap(names.clients.id)
        // One that has had no job.
        guard client == nil || owner != nil else { return Page(keys: [], total: 0) }
        return try await scan { db in
            let span = SQL.Span(
                keys: JobKey(value: 0)..<JobKey(value: .max), created: nil, limit: skip + limit
            )
            var keys: [JobKey] = []
            var total = 0
            for model in models {
                for phase in Status.allCases.flatMap(SQL.phases(of:)) {
                    keys += try SQL.listedKeys(db, model: model, client: owner, phase: phase, span)
                }
                total += try SQL.jobCount(db, of: model, client: owner)
            }
            return Page(keys: Array(keys.sorted(by: >).dropFirst(skip).prefix(limit)), total: total)
        }
    }

    /// The job with this key, its bodies read as far as they are in its row; nil when it is gone.
    package func job(at key: JobKey) async throws -> Job? {
        try await reads.perform { [names] db in try SQL.selectWholeJob(db, key, names) }
    }

    /// When the newest event of a job was made that is not newer than `job` itself.
    package func updateTime(of job: Job) async throws -> Timestamp {
        try await reads.perform { db in try SQL.timeOfEvent(db, job.lastEvent) } ?? job.createdAt
    }
}

extension SQL {
    fileprivate static func newestKeys(_ db: Database, skip: Int, limit: Int) throws -> [JobKey] {
        let statement = try db.cachedStatement(sql: "SELECT key FROM job ORDER BY key DESC LIMIT ? OFFSET ?")
        return try Int64.fetchAll(statement, arguments: [limit, skip]).map(JobKey.init(value:))
    }

    fileprivate static func jobCount(_ db: Database) throws -> Int {
        try Int.fetchOne(db.cachedStatement(sql: "SELECT count(*) FROM job")) ?? 0
    }

    /// - Parameter client: whose jobs; nil: everyone's.
    fileprivate static func jobCount(_ db: Database, of model: Int64, client: Int64?) throws -> Int {
        let statement = try db.cachedStatement(sql: "SELECT count(*) FROM \(jobs(of: client)) AND model = ?")
        return try Int.fetchOne(statement, arguments: StatementArguments([client, model].compactMap { $0 })) ?? 0
    }

    fileprivate static func timeOfEvent(_ db: Database, _ id: Int64) throws -> Timestamp? {
        let statement = try db.cachedStatement(sql: "SELECT at FROM event WHERE id = ?")
        return try Int64.fetchOne(statement, arguments: [id]).map(Timestamp.init(milliseconds:))
    }
}
