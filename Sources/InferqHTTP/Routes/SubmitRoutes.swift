import HTTPTypes
import InferqCore
import InferqQueue
import NIOCore

/// `POST /v1/async/inference` and `POST /v1/inference`.
struct SubmitRoutes: Sendable {
    let gateway: Gateway

    func submit(_ request: Request, _ context: GatewayContext, mayWait: Bool) async throws -> Response {
        let preference =
            mayWait ? Preference(request.headers, longest: context.settings.syncWait) : Preference()
        let reader = BodyReader(gateway: gateway, context: context)
        try reader.checkHead(request)
        try request.checkAccepts("application/json")
        let submission = try await submission(request, reader)
        let receipt = try await store(submission, context)
        switch receipt {
        case .stored(let change):
            guard mayWait, !preference.respondsAsync else {
                return accepted(change.job, submission.input, preference, context.caller)
            }
            return try await answer(
                change.job.id, within: preference.wait(at: context.settings.syncWait), context, preference)
        case .replayed(let id):
            do {
                var response: Response
                if mayWait, !preference.respondsAsync {
                    response = try await answer(
                        id, within: preference.wait(at: context.settings.syncWait), context, preference
                    )
                } else {
                    response = try await current(id, preference, context.caller)
                }
                response.headers[.idempotencyReplayed] = "true"
                return response
            } catch let ended as APIError {
                throw ended.with(.idempotencyReplayed, "true")
            }
        }
    }

    /// Every submit comes through here: no matter who makes it, and in what form.
    func store(_ submission: Submission, _ context: GatewayContext) async throws -> JobQueue.Receipt {
        var submission = submission
        submission.caller = context.caller
        do {
            try context.caller.checkMaySubmit(submission)
        } catch {
            if case .file(let name) = submission.input.content { await gateway.store.blobs.remove(name) }
            throw error
        }
        do {
            let receipt = try await gateway.queue.submit(submission)
            if case .stored(let change) = receipt {
                gateway.access.usage.note(context.caller.client, isSubmit: true)
                context.note("job submitted", change.job.id, .debug)
            }
            return receipt
        } catch let refusal as JobQueue.Refusal {
            throw APIError.refused(refusal, model: submission.model)
        }
    }

    private func accepted(_ job: Job, _ input: Payload, _ preference: Preference, _ caller: Caller) -> Response {
        var headers = HTTPFields()
        headers[.location] = "/v1/inference/\(job.id)"
        preference.note(in: &headers)
        return .json(record(job, input, caller), status: .accepted, headers: headers)
    }

    /// The record of a job that was stored this moment.
    func record(_ job: Job, _ input: Payload, _ caller: Caller) -> [UInt8] {
        let ahead = job.isDue ? gateway.queue.aheadOfNewest(job, for: caller) : nil
        let bytes: [UInt8]? = if case .inline(let bytes) = input.content { bytes } else { nil }
        return Wire.record(job, bodies: Wire.Bodies(input: bytes), ahead: ahead)
    }

    // MARK: Waiting

    /// 200 and the record when the job ends in time, 202 and the record when it does not, or when the gateway stops.
    private func answer(
        _ id: UUIDv7,
        within limit: Duration,
        _ context: GatewayContext,
        _ preference: Preference
    ) async throws -> Response {
        let waiting = JobWait(gateway: gateway, connection: context.connection)
        guard let ended = try await waiting.end(of: id, within: limit) else {
            return try await current(id, preference, context.caller)
        }
        guard ended.status == .completed else { throw APIError.jobEnded(ended) }
        return try await answer(ended, .ok, preference, context.caller)
    }

    /// 202 and the record as it is now.
    private func current(_ id: UUIDv7, _ preference: Preference, _ caller: Caller) async throws -> Response {
        try await answer(gateway.job(id, for: caller), .accepted, preference, caller)
    }

    private func answer(
        _ job: Job, _ status: HTTPResponse.Status, _ preference: Preference, _ caller: Caller
    ) async throws -> Response {
        var headers = HTTPFields()
        headers[.location] = "/v1/inference/\(job.id)"
        preference.note(in: &headers)
        return .json(try await ReadRoutes(gateway: gateway).record(job, for: caller), status: status, headers: headers)
    }

    // MARK: What was sent

    /// - Parameter view: for whom the request is written.
    func submission(
        _ request: Request, _ reader: BodyReader, _ view: RecordView = .native
    ) async throws -> Submission {
        let query = try Query(request.query)
        let contentType = request.headers[.contentType]
        let traceparent = TraceContext.child(of: request.headers[.traceparent])
        guard let contentType, let type = MediaType(contentType), type.isJSON else {
            return try await plain(request, reader, query, contentType, traceparent)
        }
        return try await reader.collect(request) { body in
            guard query.isEmpty else {
                throw APIError.invalid(
                    "query item \(query.items[0].name.clipped)", "with a JSON body, options go in the member job"
                )
            }
            return try await json(body, view, request, contentType, traceparent)
        }
    }

    private func json(
        _ body: [UInt8],
        _ view: RecordView,
        _ request: Request,
        _ contentType: String,
        _ traceparent: String
    ) async throws -> Submission {
        let parsed =
            switch view {
            case .native: try JSONSubmission(body)
            case .reference:
                try JSONSubmission(body) { ModelID.name($0, among: gateway.queue.models.map(\.name)) ?? $0 }
            }
        let key = try parsed.job.key(orHeader: request.headers[.idempotencyKey])
        guard gateway.queue.isConfigured(parsed.model) else {
            throw APIError.unknownModel(parsed.model, known: gateway.queue.models.map(\.name))
        }
        var submission = Submission(
            model: parsed.model,
            options: parsed.options(traceparent),
            input: try await .json(parsed.input, contentType: contentType, gateway.store.blobs)
        )
        submission.key = key.map { IdempotencyKey($0, contentType: contentType, query: nil, body: body) }
        return submission
    }

    /// A body that is not JSON: the options are query items.
    private func plain(
        _ request: Request,
        _ reader: BodyReader,
        _ query: Query,
        _ contentType: String?,
        _ traceparent: String
    ) async throws -> Submission {
        let isUpload = contentType.flatMap(MediaType.init)?.essence == "multipart/form-data"
        let limit: BodyLimit = isUpload ? .upload(reader.context.settings) : .body(reader.context.settings)
        // A body that is too large is refused before anything is said of the query.
        if let length = request.headers[.contentLength].flatMap({ Int(saturating: $0) }), length > limit.byteCount {
            throw limit.error
        }
        guard let model = try query.single("model") ?? query.single("model_display_name") else {
            throw try await reader.beginsLikeJSON(request) ? APIError.unlabeledJSON : .noModel
        }
        let parsed = try JobOptions(query, except: ["model", "model_display_name"])
        guard gateway.queue.isConfigured(model) else {
            throw APIError.unknownModel(model, known: gateway.queue.models.map(\.name))
        }
        let key = try parsed.key(orHeader: request.headers[.idempotencyKey])
        var options = parsed.options
        options.kept.traceparent = traceparent
        var submission = Submission(
            model: model,
            options: options,
            input: try await reader.receive(request, contentType: contentType, limit: limit)
        )
        submission.key = key.map {
            IdempotencyKey(
                $0, contentType: contentType, query: request.query, bodyDigest: submission.input.digest ?? []
            )
        }
        return submission
    }
}

/// A JSON submission: one pass over its bytes finds the model, the options and what the model server gets.
struct JSONSubmission {
    let model: String
    /// The body of the call, byte for byte.
    let input: [UInt8]
    let job: JobOptions

    /// - Parameter modelOfID: the name of the model that `model_id` names, for clients that send it. Their members
    ///   that are null count as absent.
    init(_ body: [UInt8], modelOfID: ((String) -> String)? = nil) throws(APIError) {
        var object = try BodyObject(body, named: ["model", "model_display_name", "model_id", "input", "job"])
        if modelOfID == nil {
            object.members.removeAll { $0.name == "model_id" }
        } else {
            object.members.removeAll { $0.kind == .null }
        }
        let named = try object.single("model")
        let displayNamed = try object.single("model_display_name")
        let identified = try object.single("model_id")
        guard let name = named ?? displayNamed ?? identified else { throw .invalid("model", "it is missing") }
        guard name.kind == .string, let model = JSONScanner.string(in: body, name.value), !model.isEmpty
        else { throw .invalid(name.name, "it must be a string that is not empty") }
        self.model = if let modelOfID, name.name == "model_id" { modelOfID(model) } else { model }
        let job = try object.single("job")
        if let job {
            self.job = try JobOptions(job: job.value, in: body)
        } else {
            self.job = JobOptions()
        }
        if let input = try object.single("input") {
            self.input = Array(body[input.value])
        } else if let job {
            self.input = JSONSubmission.body(body, without: job)
        } else {
            self.input = body
        }
    }

    /// Takes the `job` member out. The spans of all members are needed for its comma, and only then.
    private static func body(_ body: [UInt8], without job: JSONMember) -> [UInt8] {
        let all = JSONScanner.members(of: body, in: body.indices)
        guard let index = all.firstIndex(where: { $0.whole == job.whole }) else { return body }
        return JSONScanner.removing(index, of: all, from: body)
    }

    func options(_ traceparent: String) -> Submission.Options {
        var options = job.options
        options.kept.traceparent = traceparent
        return options
    }
}

/// What a `Prefer` field (RFC 7240) asks of a submit.
struct Preference: Sendable, Equatable {
    var respondsAsync = false
    /// Whole seconds.
    private var wait: Int?

    init() {}

    /// - Parameter longest: what a longer wait becomes; nil: none is too long.
    init(_ headers: HTTPFields, longest: Duration? = nil) {
        // A part of a second counts as one here: the wait itself is cut where it is waited.
        let most = longest.map { Int($0.components.seconds) + ($0.components.attoseconds > 0 ? 1 : 0) } ?? .max
        for field in headers[values: .prefer].flatMap({ $0.split(separator: ",") }) {
            let item = field.prefix { $0 != ";" }.split(separator: "=", maxSplits: 1).map(\.trimmingSpaces)
            switch (item.first?.lowercased(), item.dropFirst().first) {
            case ("respond-async", nil): respondsAsync = true
            case ("wait", let value?):
                // A value may be a token or a quoted string; the first one counts.
                let isQuoted = value.count > 1 && value.first == "\"" && value.last == "\""
                let text = isQuoted ? value.dropFirst().dropLast() : value[...]
                if wait == nil, let seconds = Int(saturating: text), seconds >= 0 {
                    wait = min(seconds, most)
                }
            default: break
            }
        }
    }

    /// Whether the client has said how long it waits.
    var waits: Bool { wait != nil }

    /// How long to wait, at most `longest`.
    func wait(at longest: Duration) -> Duration {
        wait.map { min(.seconds(min($0, 1_000_000)), longest) } ?? longest
    }

    /// Says which preference was followed.
    func note(in headers: inout HTTPFields) {
        if respondsAsync {
            headers[.preferenceApplied] = "respond-async"
        } else if let wait {
            headers[.preferenceApplied] = "wait=\(wait)"
        }
    }
}
