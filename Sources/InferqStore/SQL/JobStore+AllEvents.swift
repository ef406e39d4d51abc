import GRDB
package import InferqCore

/// One step along the events of all jobs.
package struct EventPage: Sendable {
    package struct Entry: Sendable {
        package let event: JobEvent
        /// As it was when the event was read; with a final event its output, as far as that is in the row.
        package let job: Job
    }

    package fileprivate(set) var entries: [Entry]
    /// The id to go on after: of the last event that was looked at, whether it is among ``entries`` or not.
    package fileprivate(set) var last: Int64
    /// Whether the step ended at a bound, so that there may be more to read at once.
    package fileprivate(set) var isCut: Bool

    /// Events that are handed over in one step.
    static let limit = 64
    /// Events that are looked at for one model or one client in one step.
    static let scanLimit = 512
    /// Bytes of outputs after which a step ends.
    static let outputLimit = 256 << 10
}

extension JobStore {
    /// The newest id that was ever given to an event, 0 if none was.
    package func newestEvent() async throws -> Int64 {
        try await reads.perform { db in try SQL.lastEventNumber(db) }
    }

    /// The events of all jobs after `id`, in order: one bounded step.
    ///
    /// - Parameters:
    ///   - model: nil: of all models.
    ///   - client: of whose jobs; nil: of everyone's.
    package func events(after id: Int64, of model: String?, client: String? = nil) async throws -> EventPage {
        try await scan { [names] db in
            let limit = model == nil && client == nil ? EventPage.limit : EventPage.scanLimit
            let scanned = try SQL.eventHeads(db, after: id, limit: limit)
            let wanted = (model: model.map(names.models.id), client: client.map(names.clients.id))
            let found = scanned.filter { head in
                (wanted.model.map { $0 == head.model } ?? true)
                    && (wanted.client.map { $0 != nil && $0 == head.client } ?? true)
            }
            let chosen = found.prefix(EventPage.limit)
            var page = EventPage(entries: [], last: scanned.last?.id ?? id, isCut: scanned.count == limit)
            if let last = chosen.last, found.count > chosen.count {
                page.last = last.id
                page.isCut = true
            }
            try Self.fill(&page, with: chosen.map(\.job), after: id, db, names)
            return page
        }
    }

    /// - Parameter keys: the job of each event, in the order of the events.
    private static func fill(
        _ page: inout EventPage,
        with keys: [JobKey],
        after id: Int64,
        _ db: Database,
        _ names: StoredNames
    ) throws {
        var entries: [EventPage.Entry] = []
        for (key, count) in Dictionary(keys.map { ($0, 1) }, uniquingKeysWith: +) {
            guard let job = try SQL.selectJob(db, key, names) else { continue }
            entries += try SQL.events(db, of: key, after: id, limit: count).map { EventPage.Entry(event: $0, job: job) }
        }
        var byteCount = 0
        for entry in entries.sorted(by: { $0.event.id < $1.event.id }) {
            guard byteCount < EventPage.outputLimit else {
                page.last = page.entries.last?.event.id ?? page.last
                page.isCut = true
                return
            }
            guard entry.event.isLast, let output = entry.job.output, case .unread = output.content else {
                page.entries.append(entry)
                continue
            }
            var job = entry.job
            let inRow = try SQL.output(db, of: job.key)
            if let bytes = try SQL.bytes(db, of: job.output, inRow: inRow, .output, of: job.key) {
                byteCount += bytes.count
                job.output?.content = .inline(bytes)
            }
            page.entries.append(EventPage.Entry(event: entry.event, job: job))
        }
    }
}

/// An event, and whose it is.
private enum HeadColumn: CInt, NamedColumn {
    case id, job, model, client
}

extension SQL {
    private static let heads = SQLText<HeadColumn>(
        """
        SELECT event.id, event.job, job.model, job.client FROM event JOIN job ON job.key = event.job \
        WHERE event.id > ? ORDER BY event.id LIMIT ?
        """
    )
    private static let outputInRow = SQLText<OnlyColumn>("SELECT output FROM job WHERE key = ?")

    /// Events of all jobs after one id, in order, each with its job and the numbers of its model and its client.
    fileprivate static func eventHeads(
        _ db: Database,
        after id: Int64,
        limit: Int
    ) throws -> [(id: Int64, job: JobKey, model: Int64, client: Int64?)] {
        try db.with(heads) { row in
            try row.bind(id)
            try row.bind(limit)
            return try row.array {
                (try $0.int64(.id), try $0.key(.job), try $0.int64(.model), try $0.optionalInt64(.client))
            }
        }
    }

    /// The output of a job as far as it is in its row.
    fileprivate static func output(_ db: Database, of job: JobKey) throws -> [UInt8]? {
        try db.with(outputInRow) { row in
            try row.bind(job)
            return try row.first { try $0.bytes(.value) } ?? nil
        }
    }
}
