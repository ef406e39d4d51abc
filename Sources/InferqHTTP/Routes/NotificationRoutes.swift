import HTTPTypes
import InferqCore
import NIOCore

/// `POST /v1/notifications`, where model servers tell of their progress, and `GET /v1/notifications/{event_id}`, the
/// history as JSON.
struct NotificationRoutes: Sendable {
    let gateway: Gateway

    // MARK: Reports

    @Sendable func report(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try Query(request.query).allowOnly([])
        let reader = BodyReader(gateway: gateway, context: context)
        guard request.headers[.contentType].flatMap(MediaType.init)?.isJSON == true else { throw APIError.notJSON }
        try reader.checkHead(request)
        try request.checkAccepts("application/json")
        // Where strangers are about, nothing is read of who shows no token of this gateway's.
        let token = request.notifyToken(gateway.store.signingKey)
        if token == nil, gateway.access.mayBeStrange(context.connection) { throw APIError.wrongToken.closing }
        let notification = try await reader.collect(request) { body in try Notification(body) }
        guard let token else { throw APIError.wrongToken }
        guard let course = try await gateway.store.course(of: notification.eventID) else {
            throw try await gateway.missing(notification.eventID, nil)
        }
        guard course.key == token.job else { throw APIError.wrongToken }
        let event = try await store(notification.report, token, context)
        guard let event else { throw try await gateway.missing(notification.eventID, nil) }
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("event_id")
        writer.value(notification.eventID.description)
        writer.name("id")
        writer.value(event.id)
        writer.endObject()
        return .json(writer.bytes, status: .created)
    }

    private func store(_ report: Report, _ token: NotifyToken, _ context: GatewayContext) async throws -> JobEvent? {
        do {
            return try await gateway.queue.report(token, report, limit: context.settings.eventsPerJob)
        } catch let error as IllegalTransition {
            throw APIError.attemptOver(error.status)
        } catch ReportRefusal.tooMany(let limit) {
            throw APIError.tooManyReports(limit: limit)
        } catch ReportRefusal.tooLarge(let limit) {
            throw APIError.detailTooLarge(limit: limit)
        }
    }

    // MARK: History

    @Sendable func history(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let eventID = try context.uuid("event_id")
        let query = try Query(request.query)
        try query.allowOnly(["after", "limit", "output"])
        let withOutput = try query.flag("output")
        try request.checkAccepts("application/json")
        let after = try query.number("after", in: 0...Int.max) ?? 0
        let limit = try query.number("limit", in: 1...1000) ?? 100
        let course = try await gateway.course(named: eventID, for: context.caller)
        guard
            let history = withOutput
                ? try await gateway.store.historyWithOutput(
                    course.key, after: Int64(after), limit: limit, byteLimit: Self.outputLimit)
                : try await gateway.store.history(course.key, after: Int64(after), limit: limit)
        else { throw try await gateway.missing(eventID, context.caller) }
        return .json(Self.page(history, after: Int64(after), output: try await gateway.store.output(shownBy: history)))
    }

    /// Bytes of an answer after which a page ends.
    private static let outputLimit = 1 << 20

    private static func page(_ history: JobHistory, after: Int64, output: [UInt8]?) -> [UInt8] {
        var writer = JSONWriter(capacity: 1024 * (history.events.count + 1))
        writer.beginObject()
        writer.name("results")
        writer.beginArray()
        for event in history.events { Wire.historyEntry(&writer, event, of: history.job, output: output) }
        writer.endArray()
        writer.name("next")
        let isPastEnd = history.events.isEmpty && history.job.status.isFinal && after >= history.job.lastEvent
        if history.isAtEnd || isPastEnd { writer.null() } else { writer.value(history.last ?? after) }
        writer.endObject()
        return writer.bytes
    }
}

/// The body of a model server's report.
struct Notification: Sendable {
    let eventID: UUIDv7
    let report: Report

    init(_ body: [UInt8]) throws {
        let object = try BodyObject(body)
        func member(_ name: String, _ kind: JSONKind, isRequired: Bool) throws(APIError) -> Range<Int>? {
            guard let match = try object.single(name) else {
                guard !isRequired else { throw .invalid(name, "it is missing") }
                return nil
            }
            guard match.kind == kind else { throw .invalid(name, "it is of the wrong type") }
            return match.value
        }
        _ = try member("source", .string, isRequired: false)
        _ = try member("timestamp", .string, isRequired: false)
        guard let idRange = try member("event_id", .string, isRequired: true),
            let typeRange = try member("detail_type", .string, isRequired: true),
            let detail = try member("detail", .object, isRequired: true),
            let idText = JSONScanner.string(in: body, idRange), let type = JSONScanner.string(in: body, typeRange)
        else { throw APIError.invalid("body", "a member is missing") }
        guard let eventID = UUIDv7(idText) else { throw APIError.invalid("event_id", "it is not a UUID") }
        self.eventID = eventID
        var compact: [UInt8] = []
        JSONScanner.appendCompactASCII(body, detail, to: &compact)
        guard compact.count <= Report.detailLimit else { throw APIError.detailTooLarge(limit: Report.detailLimit) }
        switch type {
        case Wire.detailType(.progress):
            try Self.checkProgress(compact)
            report = Report(detail: compact, layers: nil)
        case Wire.detailType(.layersReady):
            report = Report(detail: compact, layers: try Self.layers(compact))
        default:
            throw APIError.invalid(
                "detail_type", "it must be \(Wire.detailType(.progress)) or \(Wire.detailType(.layersReady))"
            )
        }
    }

    private static func checkProgress(_ detail: [UInt8]) throws(APIError) {
        for member in JSONScanner.members(of: detail, in: detail.indices) {
            switch member.name {
            case "message":
                guard member.kind == .string else { throw .invalid("detail.message", "it must be a string") }
            case "progress":
                guard let value = JSONScanner.double(in: detail, member.value), (0...1).contains(value) else {
                    throw .invalid("detail.progress", "it must be a number from 0 to 1")
                }
            default: break
            }
        }
    }

    private static func layers(_ detail: [UInt8]) throws(APIError) -> [UInt8] {
        let members = JSONScanner.members(of: detail, in: detail.indices)
        guard let layers = members.last(where: { $0.name == "predicted_layers" }), layers.kind == .array else {
            throw .invalid("detail.predicted_layers", "it must be an array of objects")
        }
        for element in JSONScanner.elements(of: detail, in: layers.value)
        where JSONScanner.kind(of: detail, at: element.lowerBound) != .object {
            throw .invalid("detail.predicted_layers", "it must be an array of objects")
        }
        return Array(detail[layers.value])
    }
}
