/// Every spelling that clients see: statuses, member names, event types.
package enum Wire {
    package static func status(_ status: Status) -> String {
        switch status {
        case .pending: "PENDING"
        case .running: "RUNNING"
        case .completed: "COMPLETED"
        case .failed: "ERROR"
        case .cancelled: "CANCELLED"
        }
    }

    package static func status(named name: String) -> Status? {
        Status.allCases.first { status($0) == name }
    }

    package static func detailType(_ kind: JobEvent.Kind) -> String {
        switch kind {
        case .updated: "Inf:Task:Updated"
        case .progress: "Inf:Task:Notify"
        case .layersReady: "Inf:Task:LayerReady"
        case .attemptFailed: "Inf:Task:Error"
        case .failed: "Inf:Task:Failed"
        case .output: "Inf:Task:Output"
        }
    }

    /// Outputs up to this size stand in the record.
    package static let outputLimit = 1 << 20
    /// The `data` line of an event is at most this long: longer lines kill some clients.
    package static let eventLimit = 64 << 10
}

// MARK: Records

extension Wire {
    /// Which bodies a record shows, as bytes that were read.
    package struct Bodies {
        /// Nil: left out.
        package var input: [UInt8]?
        package var output: [UInt8]?

        package init(input: [UInt8]? = nil, output: [UInt8]? = nil) {
            self.input = input
            self.output = output
        }
    }

    /// The whole record. `queue` is the number of jobs ahead, for a pending and due one.
    /// `stream` is how far the answer of a running job has come; nil: it is not shown.
    package static func record(_ job: Job, bodies: Bodies, ahead: Int?, stream: StreamReach? = nil) -> [UInt8] {
        var writer = JSONWriter(capacity: 1024 + (bodies.input?.count ?? 0) + (bodies.output?.count ?? 0))
        writer.beginObject()
        head(&writer, job, Moment(job), ahead: ahead)
        if let stream {
            writer.name("stream")
            stream.write(to: &writer)
        }
        writer.name("input")
        payload(&writer, job.input, bodies.input, limit: Payload.inlineLimit)
        result(&writer, job, bodies.output, compact: false, omitting: [])
        writer.endObject()
        return writer.bytes
    }

    /// The record without `input`, `output` and `predicted_layers`.
    package static func summary(_ writer: inout JSONWriter, _ job: Job, ahead: Int?) {
        writer.beginObject()
        head(&writer, job, Moment(job), ahead: ahead)
        writer.endObject()
    }

    /// The members of a record that change, as they were at one moment of the job's life.
    private struct Moment {
        var status: Status
        var attempt: Int
        var runAt: Timestamp
        var startedAt: Timestamp?
        var finishedAt: Timestamp?
        var error: Failure?
        /// What there is of an answer.
        var output: Payload?

        init(_ job: Job) {
            status = job.status
            attempt = job.attempt
            runAt = job.runAt
            startedAt = job.startedAt
            finishedAt = job.finishedAt
            error = job.error
            output = job.output
        }

        /// What the row says no more, the event has kept.
        init(_ job: Job, at event: JobEvent) {
            status = event.status
            attempt = event.draft.attempt
            runAt = event.draft.runAt
            startedAt = event.draft.attempt > 0 ? job.startedAt : nil
            finishedAt = event.isLast ? event.at : nil
            error = event.isLast ? job.error : event.draft.error
            output = event.isLast ? job.output : nil
        }
    }

    private static func head(_ writer: inout JSONWriter, _ job: Job, _ moment: Moment, ahead: Int?) {
        writer.name("id")
        writer.value(job.id)
        writer.name("event_id")
        writer.value(job.eventID)
        writer.name("model")
        writer.value(job.model)
        writer.name("client")
        writer.value(job.options.client)
        writer.name("status")
        writer.value(status(moment.status))
        writer.name("attempt")
        writer.value(moment.attempt)
        writer.name("max_attempts")
        writer.value(job.maxAttempts)
        writer.name("priority")
        writer.value(job.options.priority)
        time(&writer, "created_at", job.createdAt)
        time(&writer, "run_at", moment.runAt)
        time(&writer, "expires_at", job.expiry?.at)
        time(&writer, "started_at", moment.startedAt)
        time(&writer, "finished_at", moment.finishedAt)
        if let ahead {
            writer.name("queue")
            writer.beginObject()
            writer.name("ahead")
            writer.value(ahead)
            writer.endObject()
        }
        writer.name("retry_of")
        writer.value(job.options.retryOf)
        writer.name("metadata")
        if job.options.metadata.isEmpty {
            writer.beginObject()
            writer.endObject()
        } else {
            writer.compact(job.options.metadata, job.options.metadata.indices)
        }
        writer.name("call")
        call(&writer, job.options.call, moment.output)
        writer.name("error")
        if let error = moment.error { writer.raw(error.json) } else { writer.null() }
        writer.name("urls")
        urls(&writer, job.id, job.eventID)
    }

    /// How the client called the model server; null for a native submit.
    private static func call(_ writer: inout JSONWriter, _ call: Call?, _ output: Payload?) {
        guard let call else { return writer.null() }
        writer.beginObject()
        writer.name("method")
        writer.value(call.method)
        writer.name("target")
        writer.value(call.target)
        writer.name("dialect")
        writer.value(call.dialect.rawValue)
        writer.name("answer_status")
        writer.value(output?.head?.status)
        writer.name("answer_type")
        if let output, let type = output.contentType, output.head != nil {
            writer.value(type)
        } else {
            writer.null()
        }
        writer.endObject()
    }

    private static func urls(_ writer: inout JSONWriter, _ id: UUIDv7, _ eventID: UUIDv7) {
        writer.beginObject()
        writer.name("self")
        writer.value("/v1/inference/", id)
        writer.name("events")
        writer.value("/v1/async/notify/", eventID)
        writer.name("history")
        writer.value("/v1/notifications/", eventID)
        writer.name("input")
        writer.value("/v1/inference/", id, "/input")
        writer.name("output")
        writer.value("/v1/inference/", id, "/output")
        writer.name("cancel")
        writer.value("/v1/inference/", id, "/cancel")
        writer.endObject()
    }

    private static func time(_ writer: inout JSONWriter, _ name: StaticString, _ time: Timestamp?) {
        writer.name(name)
        writer.value(time)
    }

    /// JSON as it came, a text as a string, anything else, or more than `limit` bytes, by size and digest.
    private static func payload(_ writer: inout JSONWriter, _ payload: Payload, _ bytes: [UInt8]?, limit: Int) {
        if payload.isJSON, payload.byteCount <= limit, let bytes { return writer.raw(bytes) }
        writer.beginObject()
        writer.name("content_type")
        writer.value(payload.contentType)
        if let encoding = payload.contentEncoding {
            writer.name("content_encoding")
            writer.value(encoding)
        }
        writer.name("bytes")
        writer.value(payload.byteCount)
        if payload.form == .text, let bytes {
            writer.name("text")
            writer.value(String(decoding: bytes, as: UTF8.self))
        } else {
            writer.name("sha256")
            writer.value(payload.digest.map { Hex.text($0) })
        }
        writer.endObject()
    }

    /// `output` and `predicted_layers`, but for what is omitted.
    private static func result(
        _ writer: inout JSONWriter,
        _ job: Job,
        _ output: [UInt8]?,
        compact: Bool,
        omitting omitted: Set<String>
    ) {
        if !omitted.contains("output") {
            writer.name("output")
            if let found = job.output {
                if compact, found.isJSON, found.byteCount <= outputLimit, let output {
                    writer.compact(output, output.indices)
                } else {
                    payload(&writer, found, output, limit: outputLimit)
                }
            } else {
                writer.null()
            }
        }
        if let note = job.output?.note {
            writer.name("output_note")
            writer.value(note)
        }
        if !omitted.contains("predicted_layers") {
            writer.name("predicted_layers")
            layers(&writer, job.layers, output, compact: compact)
        }
    }

    private static func layers(_ writer: inout JSONWriter, _ layers: PredictedLayers, _ output: [UInt8]?, compact: Bool)
    {
        func span(_ range: Range<Int>) {
            guard let output, range.upperBound <= output.count else { return }
            if compact { writer.compact(output, range) } else { writer.raw(output, range) }
        }
        switch layers {
        case .array(let range) where output != nil: span(range)
        case .early(let bytes): writer.raw(bytes)
        case .none, .array, .object:
            writer.beginArray()
            if case .object(let range) = layers { span(range) }
            writer.endArray()
        }
    }
}

// MARK: Events

extension Wire {
    /// The JSON of an event: ASCII, without insignificant white space, at most ``eventLimit`` bytes.
    ///
    /// - Parameter output: the bytes of the job's output if it has one that was read; only looked at for a final event.
    package static func event(_ event: JobEvent, of job: Job, output: [UInt8]?, limit: Int = eventLimit) -> [UInt8] {
        guard event.isLast else { return self.event(event, of: job, output: nil, omitting: []) }
        var omitted = omission(of: job, output)
        while true {
            let bytes = self.event(event, of: job, output: output, omitting: omitted)
            if bytes.count <= limit || omitted.count == 2 { return bytes }
            omitted = omitted.isEmpty ? ["output"] : ["output", "predicted_layers"]
        }
    }

    /// An output that cannot fit is not even encoded; layers inside one that was not read cannot be.
    private static func omission(of job: Job, _ output: [UInt8]?) -> [String] {
        guard (job.output?.byteCount ?? 0) > eventLimit && job.output?.isJSON == true else { return [] }
        switch job.layers {
        case .array, .object: return output == nil ? ["output", "predicted_layers"] : ["output"]
        case .none, .early: return ["output"]
        }
    }

    /// The event in the history as JSON: the same, with its id and time beside it.
    package static func historyEntry(_ writer: inout JSONWriter, _ event: JobEvent, of job: Job, output: [UInt8]?) {
        let json = self.event(event, of: job, output: output)
        writer.beginObject()
        writer.name("id")
        writer.value(event.id)
        writer.name("timestamp")
        writer.value(event.at)
        for member in JSONScanner.members(of: json, in: json.indices) {
            writer.name(escaping: member.name)
            writer.raw(json, member.value)
        }
        writer.endObject()
    }

    private static func event(_ event: JobEvent, of job: Job, output: [UInt8]?, omitting: [String]) -> [UInt8] {
        var writer = JSONWriter(capacity: 1024)
        writer.beginObject()
        members(&writer, event, of: job, output: output, omitting: omitting)
        writer.endObject()
        return writer.bytes
    }

    private static func members(
        _ writer: inout JSONWriter,
        _ event: JobEvent,
        of job: Job,
        output: [UInt8]?,
        omitting: [String]
    ) {
        writer.name("detail_type")
        writer.value(detailType(event.kind))
        writer.name("status")
        writer.value(status(event.status))
        writer.name("data")
        switch event.kind {
        case .progress, .layersReady:
            writer.raw(event.draft.detail ?? Array("{}".utf8))
        case .attemptFailed:
            writer.beginObject()
            writer.name("error")
            if let error = event.draft.error { writer.raw(error.json) } else { writer.null() }
            writer.name("attempt")
            writer.value(event.draft.attempt)
            time(&writer, "retry_at", event.draft.runAt)
            writer.endObject()
        case .output: if let piece = event.draft.piece { self.piece(&writer, piece, attempt: event.draft.attempt) }
        case .updated, .failed:
            writer.beginObject()
            head(&writer, job, Moment(job, at: event), ahead: nil)
            if event.isLast {
                result(&writer, job, output, compact: true, omitting: Set(omitting))
                if !omitting.isEmpty {
                    writer.name("omitted")
                    writer.beginArray()
                    for name in omitting { writer.value(name) }
                    writer.endArray()
                }
            } else if let text = event.draft.text {
                writer.name("message")
                writer.value(text)
                if let shown = event.draft.detail {
                    writer.name("shown")
                    writer.raw(shown)
                }
            }
            writer.endObject()
        }
    }
}
