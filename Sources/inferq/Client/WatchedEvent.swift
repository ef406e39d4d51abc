import FoundationEssentials
import InferqCore

/// One event of a job, as a listener gets it.
struct WatchedEvent: Sendable {
    /// Bytes of the answer to one attempt.
    struct Piece: Sendable, Equatable {
        let attempt: Int
        /// Bytes of the answer before it.
        let start: Int
        let bytes: [UInt8]

        var end: Int { start + bytes.count }
    }

    let id: Int64
    let detailType: String
    let status: String
    /// The event's JSON object as it came, in one line.
    let json: String
    /// The part of the answer that the event brings, if it does.
    let piece: Piece?
    /// Of the job, where the stream is that of all jobs.
    private let eventID: String?
    /// The job's model, if the event names it.
    let model: String?
    private let data: EventData

    /// - Throws: ``ClientError`` if the event is not one of a gateway.
    init(_ event: EventParser.Event) throws(ClientError) {
        let envelope: Envelope
        do {
            guard let id = Int64(event.id), event.data.hasPrefix("{") else { throw ClientError.noEvent }
            envelope = try JSONDecoder().decode(Envelope.self, from: Data(event.data.utf8))
            self.id = id
        } catch {
            throw ClientError.noEvent
        }
        detailType = envelope.detailType
        status = envelope.status
        data = envelope.data ?? EventData()
        eventID = envelope.eventID
        model = envelope.model ?? data.model
        json = event.data
        piece = detailType == "Inf:Task:Output" ? try data.piece : nil
    }

    var isLast: Bool { ["COMPLETED", "ERROR", "CANCELLED"].contains(status) }

    /// The event's members behind its id, as one line for programs; numbers and the order of members stay as they came.
    var line: String {
        let rest = json.dropFirst()
        return "{\"id\":\(id)" + (rest == "}" ? "" : ",") + rest
    }

    /// The job's id, if the event names it.
    var jobID: String? { data.id }

    /// The job's id or, in events that do not name it, its event id.
    var anyID: String? { data.id ?? eventID }

    /// The attempt that the event tells of, if it does.
    var attempt: Int? { data.attempt }

    /// How far the model server has come, from 0 to 1.
    var progress: Double? { detailType == "Inf:Task:Notify" ? data.progress : nil }

    /// What a model server wrote about its progress.
    var note: String? { detailType == "Inf:Task:Notify" ? data.message : nil }

    /// `CODE: MESSAGE` of the error that the event carries.
    var error: String? {
        guard let error = data.error else { return nil }
        return [error.code, error.message].compactMap(\.self).joined(separator: ": ")
    }

    /// What happened, for people; control characters are escaped, since strangers write some of it.
    var text: String {
        switch (detailType, status) {
        case ("Inf:Task:Notify", _):
            let parts = [progress.map(Self.percent), note].compactMap(\.self)
            return parts.isEmpty ? "progress" : parts.joined(separator: "  ").visible(limit: 400)
        case ("Inf:Task:LayerReady", _):
            return data.layers == 1 ? "1 predicted layer is ready" : "\(data.layers) predicted layers are ready"
        case ("Inf:Task:Error", _):
            let failed = attempt.map { "attempt \($0) failed" } ?? "an attempt failed"
            let next = data.retryAt.flatMap(Timestamp.init(rfc3339:)).map { ", next one at \($0.localTime)" } ?? ""
            return (failed + (error.map { " (\($0))" } ?? "") + next).visible(limit: 400)
        case (_, "COMPLETED"):
            return "completed" + (duration.map { " in \($0)" } ?? "")
        case (_, "ERROR"):
            return (error ?? "failed").visible(limit: 400)
        default:
            return (data.message ?? status.lowercased()).visible(limit: 400)
        }
    }

    static func percent(_ progress: Double) -> String {
        "\(Int((max(0, min(1, progress)) * 100).rounded(.down))) %"
    }

    /// From the submission to the end, in seconds with one decimal.
    private var duration: String? {
        guard let begin = data.createdAt.flatMap(Timestamp.init(rfc3339:)),
            let end = data.finishedAt.flatMap(Timestamp.init(rfc3339:))
        else { return nil }
        let tenths = max(0, (end - begin).milliseconds) / 100
        return "\(tenths / 10).\(tenths % 10) s"
    }
}

extension ClientError {
    fileprivate static let noEvent = ClientError(.unreadable, "the gateway sent an event that cannot be read")
}

private struct Envelope: Decodable {
    var detailType: String
    var status: String
    var eventID: String?
    var model: String?
    var data: EventData?

    enum CodingKeys: String, CodingKey {
        case detailType = "detail_type"
        case eventID = "event_id"
        case status, model, data
    }
}

/// The members of an event's data that people are shown. Those that a model server sent may be of any type: what is
/// not of the expected one is not shown.
private struct EventData: Decodable {
    struct Failure: Decodable {
        var code: String?
        var message: String?
    }

    /// Counts elements without keeping them.
    private struct Anything: Decodable {
        init(from decoder: any Decoder) throws {}
    }

    var message: String?
    var progress: Double?
    var attempt: Int?
    var error: Failure?
    var retryAt: String?
    var createdAt: String?
    var finishedAt: String?
    var layers = 0
    var id: String?
    var model: String?
    var from: Int?
    var text: String?
    var base64: String?

    init() {}

    var piece: WatchedEvent.Piece {
        get throws(ClientError) {
            let bytes = text.map { Array($0.utf8) } ?? base64.flatMap { Data(base64Encoded: $0) }.map { Array($0) }
            guard let attempt, let from, let bytes else { throw .noEvent }
            return WatchedEvent.Piece(attempt: attempt, start: from, bytes: bytes)
        }
    }

    init(from decoder: any Decoder) throws {
        let members = try decoder.container(keyedBy: CodingKeys.self)
        message = members.found(String.self, .message)
        progress = members.found(Double.self, .progress)
        attempt = members.found(Int.self, .attempt)
        error = members.found(Failure.self, .error)
        retryAt = members.found(String.self, .retryAt)
        createdAt = members.found(String.self, .createdAt)
        finishedAt = members.found(String.self, .finishedAt)
        layers = members.found([Anything].self, .layers)?.count ?? 0
        id = members.found(String.self, .id)
        model = members.found(String.self, .model)
        from = members.found(Int.self, .from)
        text = members.found(String.self, .text)
        base64 = members.found(String.self, .base64)
    }

    enum CodingKeys: String, CodingKey {
        case message, progress, attempt, error, id, model, from, text, base64
        case retryAt = "retry_at"
        case createdAt = "created_at"
        case finishedAt = "finished_at"
        case layers = "predicted_layers"
    }
}

extension KeyedDecodingContainer {
    /// The member's value, nil if it is missing or of another type.
    fileprivate func found<Value: Decodable>(_ type: Value.Type, _ key: Key) -> Value? {
        // A member of another type is left out of the line for people; `--json` shows it.
        try? decodeIfPresent(type, forKey: key)
    }
}
