import InferqCore

/// Records and events as the reference gateway's own clients know them. They are made from those of ``Wire``, so that
/// what a record has is said there alone.
enum ReferenceWire {
    static func status(_ status: Status) -> String {
        switch status {
        case .pending, .running, .completed: Wire.status(status)
        case .failed: "FAILED"
        case .cancelled: "STOPPED"
        }
    }

    /// Members that are a record's own beside those that it has by ``Wire``, or although it may lack them there: those of
    /// the request do not stand in their place.
    private static let reserved: Set<String> = [
        "updated_at", "active", "created_by", "geoserver_layers", "input", "output", "output_note", "predicted_layers",
        "queue", "message", "omitted", "shown",
    ]

    /// What a list leaves out of every record.
    private static let bodies: Set<String> = ["input", "output", "output_note"]

    /// What is shown of a job beside its row.
    struct Facts: Sendable {
        let job: Job
        /// The time of the newest event that is shown.
        let updatedAt: Timestamp
        var request: RequestMembers
    }
}

// MARK: Records

extension ReferenceWire {
    /// - Parameter native: the same record by ``Wire``.
    static func record(_ native: [UInt8], _ facts: Facts) -> [UInt8] {
        var writer = JSONWriter(capacity: native.count + 1024)
        record(&writer, native, native.indices, facts, room: Payload.inlineLimit)
        return writer.bytes
    }

    /// A record without its bodies.
    ///
    /// - Parameter omitted: what it lacks as well, and says so.
    static func entry(_ native: [UInt8], _ facts: Facts, omitting omitted: Set<String>) -> [UInt8] {
        var writer = JSONWriter(capacity: 2048)
        let left = bodies.union(omitted)
        record(&writer, native, native.indices, facts, room: Payload.inlineLimit, without: left)
        return writer.bytes
    }

    /// - Parameters:
    ///   - room: bytes for members of the request.
    ///   - left: members of the native record to leave out.
    private static func record(
        _ writer: inout JSONWriter,
        _ native: [UInt8],
        _ range: Range<Int>,
        _ facts: Facts,
        room: Int,
        without left: Set<String> = []
    ) {
        // These clients know of no other clients: it would only hide what a request calls so.
        let members = JSONScanner.members(of: native, in: range).filter { $0.name != "client" }
        let request = facts.request.without(reserved.union(members.map(\.name))).fitting(room)
        writer.beginObject()
        for member in members where member.name != "omitted" && !left.contains(member.name) {
            write(member, of: native, facts.job, to: &writer)
        }
        writer.name("updated_at")
        writer.value(facts.updatedAt)
        writer.name("active")
        writer.value(true)
        writer.name("created_by")
        writer.value("")
        for member in request.members {
            writer.name(escaping: member.name)
            writer.raw(member.value)
        }
        model(of: facts.job, unlessNamedIn: request, to: &writer)
        let omitted = members.filter { $0.name == "omitted" }.flatMap { list in
            JSONScanner.elements(of: native, in: list.value).compactMap { JSONScanner.string(in: native, $0) }
        }
        names("omitted", request.omitted + omitted + left.subtracting(bodies).sorted(), to: &writer)
        writer.endObject()
    }

    /// Pages show both of each job, and a request has one of them.
    private static func model(of job: Job, unlessNamedIn request: RequestMembers, to writer: inout JSONWriter) {
        let names = Set(request.members.map(\.name))
        if !names.contains("model_display_name") {
            writer.name("model_display_name")
            writer.value(job.model)
        }
        if !names.contains("model_id") {
            writer.name("model_id")
            writer.value(ModelID.of(job.model))
        }
    }

    /// A list of names, if there are any.
    private static func names(_ name: StaticString, _ names: [String], to writer: inout JSONWriter) {
        guard !names.isEmpty else { return }
        writer.name(name)
        writer.beginArray()
        for name in names { writer.value(name) }
        writer.endArray()
    }

    /// Writes a member of the native record, spelled as these clients expect it.
    private static func write(_ member: JSONMember, of native: [UInt8], _ job: Job, to writer: inout JSONWriter) {
        writer.name(escaping: member.name)
        switch member.name {
        case "event_id": writer.value(job.id)
        case "status": status(native, member.value, to: &writer)
        case "error": error(native, member, to: &writer)
        case "urls": urls(native, member.value, job.id, to: &writer)
        case "predicted_layers":
            writer.raw(native, member.value)
            writer.name("geoserver_layers")
            writer.beginObject()
            writer.name("predicted_layers")
            writer.raw(native, member.value)
            writer.endObject()
        default: writer.raw(native, member.value)
        }
    }

    private static func status(_ native: [UInt8], _ range: Range<Int>, to writer: inout JSONWriter) {
        let name = JSONScanner.string(in: native, range) ?? ""
        writer.value(Wire.status(named: name).map(status) ?? name)
    }

    /// The failure as one sentence, with what the model server said of it.
    private static func error(_ native: [UInt8], _ member: JSONMember, to writer: inout JSONWriter) {
        guard member.kind == .object else { return writer.null() }
        let failure = Failure(json: Array(native[member.value]))
        let said = failure.body.map { ": " + $0.prefix(1000) } ?? ""
        writer.value(failure.message + said)
    }

    /// Those that have a form for these clients, in that form.
    private static func urls(_ native: [UInt8], _ range: Range<Int>, _ id: UUIDv7, to writer: inout JSONWriter) {
        writer.beginObject()
        for member in JSONScanner.members(of: native, in: range) {
            writer.name(escaping: member.name)
            switch member.name {
            case "self": writer.value("/v2/inference/", id)
            case "events": writer.value("/v2/async/notify/", id)
            case "history": writer.value("/v2/notifications/", id)
            case "cancel": writer.value("/v2/inference/", id, "/cancel")
            default: writer.raw(native, member.value)
            }
        }
        writer.endObject()
    }
}

// MARK: Events

extension ReferenceWire {
    /// The JSON of an event, at most ``Wire/eventLimit`` bytes: members of the request are left out first, then as in
    /// ``Wire/event(_:of:output:limit:)``.
    ///
    /// - Parameters:
    ///   - output: the bytes of the job's output if it has one that was read; only looked at for a final event.
    ///   - request: only looked at for a final event.
    static func event(_ event: JobEvent, of job: Job, output: [UInt8]?, request: RequestMembers) -> [UInt8] {
        var facts = Facts(job: job, updatedAt: event.at, request: .none)
        guard event.isLast else { return self.event(Wire.event(event, of: job, output: nil), event, facts, room: 0) }
        // The rest is for names in `omitted`.
        let most = Wire.eventLimit - 32
        var limit = most
        var native = Wire.event(event, of: job, output: output, limit: limit)
        var bare = self.event(native, event, facts, room: 0)
        // The layers stand there twice.
        while bare.count > most {
            limit = min(limit - (bare.count - most), native.count - 1)
            let smaller = Wire.event(event, of: job, output: output, limit: limit)
            guard smaller.count < native.count else { return bare }
            native = smaller
            bare = self.event(native, event, facts, room: 0)
        }
        guard !request.members.isEmpty else { return bare }
        facts.request = request
        return self.event(native, event, facts, room: most - bare.count)
    }

    private static func event(_ native: [UInt8], _ event: JobEvent, _ facts: Facts, room: Int) -> [UInt8] {
        var writer = JSONWriter(capacity: native.count + 1024)
        writer.beginObject()
        for member in JSONScanner.members(of: native, in: native.indices) {
            writer.name(escaping: member.name)
            switch (member.name, event.kind) {
            case ("status", _): status(native, member.value, to: &writer)
            case ("data", .updated), ("data", .failed): record(&writer, native, member.value, facts, room: room)
            case ("data", .attemptFailed):
                writer.beginObject()
                for each in JSONScanner.members(of: native, in: member.value) {
                    write(each, of: native, facts.job, to: &writer)
                }
                writer.endObject()
            // What a model server tells stays as it said it.
            default: writer.raw(native, member.value)
            }
        }
        writer.endObject()
        return writer.bytes
    }

    /// An event in the history as JSON.
    static func historyEntry(_ writer: inout JSONWriter, _ event: JobEvent, of job: Job, json: [UInt8]) {
        writer.beginObject()
        writer.name("id")
        writer.value(event.id)
        writer.name("event_id")
        writer.value(job.id)
        writer.name("timestamp")
        writer.value(event.at)
        for member in JSONScanner.members(of: json, in: json.indices) {
            writer.name(escaping: member.name == "data" ? "detail" : member.name)
            writer.raw(json, member.value)
        }
        writer.endObject()
    }
}
