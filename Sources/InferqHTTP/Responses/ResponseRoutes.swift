import HTTPTypes
import InferqCore
import InferqQueue
import InferqStore
import NIOCore

/// `/v1/responses/{id}`: responses in the background, as the OpenAI API has them. Each is a job; all that is shown of it is
/// made of what its model server has streamed.
struct ResponseRoutes: Sendable {
    let gateway: Gateway

    /// A server that has no such path says so at once; until one has shown that it has, its first word is awaited so long.
    private static let patience = Duration.milliseconds(250)

    // MARK: New

    /// The answer to anyone who has asked for a response: its events, or the response.
    ///
    /// - Parameter isNew: Whether it was made for this request; it is shown as queued then, whatever has become of it since.
    /// - Throws: 501 when the model server has just said that it knows no responses.
    func created(
        _ id: UUIDv7, at model: ModelSettings, isNew: Bool, follows: Bool, _ context: GatewayContext
    ) async throws -> Response {
        try await checkServer(id, model, context)
        let job = try await job(id, for: context.caller)
        var response =
            follows
            ? stream(of: job, try await facts(of: job), after: -1, context)
            : try await answer(job, isNew: isNew)
        CallAnswer.mark(&response.headers, job, isAttached: false)
        return response
    }

    private func checkServer(_ id: UUIDv7, _ model: ModelSettings, _ context: GatewayContext) async throws {
        let servers = gateway.callers.responseServers
        guard !servers.have(model) else { return }
        let waiting = JobWait(gateway: gateway, connection: context.connection)
        switch try await waiting.outcome(of: id, within: Self.patience, follows: true) {
        case .streaming: servers.note(model)
        case .ended(let job):
            if job.status == .completed { servers.note(model) }
            guard job.error?.code == .httpError, let status = job.error?.status, [404, 405, 501].contains(status)
            else { return }
            throw APIError.noResponses(model.name, status, job)
        case .timeUp, .hungUp, .stopping, .gone: break
        }
    }

    // MARK: One response

    @Sendable func show(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let id = try id(context)
        let query = try Query(request.query)
        try query.allowOnly(["stream", "starting_after", "include", "include[]", "include_obfuscation"])
        let follows = try query.flag("stream")
        let after = try query.number("starting_after", in: 0...(.max))
        guard after == nil || follows else {
            throw APIError.invalid("query item starting_after", "it needs stream=true")
        }
        let job = try await job(id, for: context.caller)
        return try await unlessGone(id) {
            follows ? stream(of: job, try await facts(of: job), after: after ?? -1, context) : try await answer(job)
        }
    }

    @Sendable func cancel(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let id = try id(context)
        try Query(request.query).allowOnly([])
        let job = try await job(id, for: context.caller)
        try await gateway.checkMayChange(job.id, context)
        guard !job.status.isFinal else { return try await answer(job) }
        _ = try await gateway.queue.cancel(job.id)
        context.note("job cancelled", job.id)
        let cancelled = try await self.job(id, for: context.caller)
        return try await unlessGone(id) { try await answer(cancelled) }
    }

    @Sendable func delete(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let id = try id(context)
        try Query(request.query).allowOnly([])
        let job = try await job(id, for: context.caller)
        try await gateway.checkMayChange(job.id, context)
        if !job.status.isFinal { _ = try await gateway.queue.cancel(job.id) }
        guard try await gateway.queue.delete(job.id) else {
            throw APIError.noSuchResponse(ResponseFacts.ids.text(of: id))
        }
        context.note("job deleted", job.id)
        return .json(OpenAIDocuments.deleted(ResponseFacts.ids.text(of: id), "response"))
    }

    // MARK: Jobs

    private func id(_ context: GatewayContext) throws(APIError) -> UUIDv7 {
        let text = context.parameters["id"] ?? ""
        guard let id = ResponseFacts.ids.uuid(in: text) else { throw .noSuchResponse(String(text)) }
        return id
    }

    /// The job of a response in the background.
    ///
    /// - Throws: 404, also for one that was deleted.
    func job(_ id: UUIDv7, for caller: Caller) async throws -> Job {
        let missing = APIError.noSuchResponse(ResponseFacts.ids.text(of: id))
        do {
            let job = try await gateway.job(id, for: caller)
            guard job.options.call?.background != nil else { throw missing }
            return job
        } catch let error as APIError where error.code == .gone || error.code == .noSuchJob {
            throw missing
        }
    }

    private func unlessGone(_ id: UUIDv7, _ read: () async throws -> Response) async throws -> Response {
        do {
            return try await read()
        } catch StoreError.gone {
            throw APIError.noSuchResponse(ResponseFacts.ids.text(of: id))
        }
    }

    private func facts(of job: Job) async throws -> ResponseFacts {
        let request =
            try await gateway.store.bytes(of: job.input).flatMap {
                JSONObject($0, named: ResponseFacts.requestMembers)
            } ?? JSONObject()
        return ResponseFacts(
            job: job.id, createdAt: job.createdAt, request: request, previous: job.options.call?.background?.previous)
    }

    // MARK: Answers

    private func answer(_ job: Job, isNew: Bool = false) async throws -> Response {
        let facts = try await facts(of: job)
        if isNew { return .json(ResponseEvents(facts).response(isRunning: false)) }
        var reader = ResponseReader(gateway, job, facts)
        return .json(try await reader.current())
    }

    /// - Parameter number: of the last event that the client has; -1: it has none.
    private func stream(
        of job: Job, _ facts: ResponseFacts, after number: Int, _ context: GatewayContext
    ) -> Response {
        EventStream.response(gateway, context, isWholeOrCut: true) { stream in
            gateway.queue.hub.listen(to: job.key, stream.bell, hearsOutput: true)
            defer { gateway.queue.hub.leave(job.key, stream.bell) }
            var reader = ResponseReader(gateway, job, facts)
            while true {
                let step: ResponseReader.Step
                do {
                    step = try await reader.next()
                } catch StoreError.gone {
                    step = reader.deleted()
                }
                let frames = step.frames.filter { $0.number > number }
                if !frames.isEmpty {
                    var bytes = ByteBuffer()
                    for frame in frames { bytes.writeBytes(frame.bytes) }
                    try await stream.write(bytes, events: frames.count, isLast: step.isEnd)
                }
                if step.isEnd { return .end }
                if step.hasMore { continue }
                if let end = try await stream.wait() { return end }
            }
        }
    }
}

extension ResponseFacts {
    /// Where a response in the background is that is asked for below a model's mount, where it was made; nil for all other
    /// paths.
    static func unmounted(_ path: String) -> String? {
        let mount = "/upstream/"
        guard path.hasPrefix(mount) else { return nil }
        let below = path.dropFirst(mount.count).drop { $0 != "/" }
        let start = "\(Self.path)/"
        guard below.hasPrefix(start) else { return nil }
        let id = below.dropFirst(start.count).prefix { $0 != "/" }
        return ids.uuid(in: id) == nil ? nil : String(below)
    }
}
