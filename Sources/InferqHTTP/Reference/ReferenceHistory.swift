import InferqCore
import InferqStore

/// `GET /v2/notifications/{event_id}`: the events of a job as JSON.
struct ReferenceHistory: Sendable {
    let gateway: Gateway

    /// Events that are read at a time.
    private static let page = 64

    @Sendable func list(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let id = try context.uuid("event_id")
        let query = try Query(request.query)
        try query.allowOnly(["limit", "skip"])
        try request.checkAccepts("application/json")
        let span = try PageSpan(query)
        let course = try await gateway.course(named: id, for: context.caller)
        var writer = JSONWriter(capacity: 1024 * min(span.limit, Self.page))
        writer.beginObject()
        writer.name("results")
        writer.beginArray()
        var cursor: Int64 = 0
        var (skip, left) = (span.skip, span.limit)
        while skip + left > 0 {
            let wanted = min(skip > 0 ? skip : left, Self.page)
            guard let history = try await gateway.store.history(course.key, after: cursor, limit: wanted) else {
                throw try await gateway.missing(id, context.caller)
            }
            if skip > 0 {
                skip -= wanted
            } else {
                try await write(history, to: &writer)
                left -= wanted
            }
            guard let last = history.last, history.hasMore else { break }
            cursor = last
        }
        writer.endArray()
        writer.endObject()
        return .json(writer.bytes)
    }

    private func write(_ history: JobHistory, to writer: inout JSONWriter) async throws {
        let encode = try await gateway.store.referenceEncoder(of: history)
        for event in history.events {
            ReferenceWire.historyEntry(&writer, event, of: history.job, json: encode(event))
        }
    }
}

extension JobStore {
    /// What makes an event of a history into its JSON.
    func referenceEncoder(of history: JobHistory) async throws -> @Sendable (JobEvent) -> [UInt8] {
        let output = try await output(shownBy: history)
        let request = history.isAtEnd ? try await members(of: history.job.input) : .none
        let job = history.job
        return { ReferenceWire.event($0, of: job, output: output, request: request) }
    }
}
