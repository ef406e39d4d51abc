import HTTPTypes
import InferqCore
import InferqQueue
import InferqStore
import NIOCore

/// Calls of model servers in their own languages: each is a job, and its client gets the server's answer as it came.
struct CallRoutes: Sendable {
    private let gateway: Gateway
    private let handThrough: HandThrough

    init(gateway: Gateway) {
        self.gateway = gateway
        handThrough = HandThrough(gateway: gateway)
    }

    /// - Throws: ``APIError``, to be put in the form of what was found.
    func answer(
        _ request: Request, _ found: CallTable.Found, _ context: GatewayContext
    ) async throws -> Response {
        if HeaderPassage.isWebSocketHandshake(request.headers) { throw APIError.upgradeUnsupported }
        try found.needs.check(context.caller)
        switch found.kind {
        case .job: return try await call(request, found, context)
        case .handedThrough: return try await handThrough.answer(request, found, context)
        }
    }

    private func call(
        _ request: Request, _ found: CallTable.Found, _ context: GatewayContext
    ) async throws -> Response {
        let preference = Preference(request.headers)
        let intake = CallIntake(gateway: gateway, context: context)
        let received = try await intake.receive(request, found, preference)
        let job = try await job(of: received, request, context)
        if preference.respondsAsync { return try await accepted(job, preference, context) }
        if let follows = received.followsBackground {
            return try await created(job, received, follows: follows, context)
        }
        let waiting = JobWait(gateway: gateway, connection: context.connection)
        let limit = preference.waits ? preference.wait(at: HTTPSettings.longestWait) : nil
        let recent = gateway.callers.recent
        recent.begin(received.fingerprint)
        var goesOn = false
        let over = { @Sendable [repeatWindow = context.settings.repeatWindow] in
            recent.end(job.id, received.fingerprint, for: repeatWindow)
        }
        defer { if !goesOn { over() } }
        switch try await outcome(of: job, waiting, limit) {
        case .streaming(let run, let head):
            var stored = job.stored?.job
            if stored == nil { stored = try await gateway.store.head(job.id) }
            guard let stored, let call = stored.options.call else {
                throw try await gateway.missing(job.id, context.caller)
            }
            let stream = CallStream(
                gateway: gateway, context: context, job: job.id, run: run, head: head, call: call,
                goesOnWithoutClient: received.model.afterOutput == .restart,
                whenGone: { clientGone(job, received.model) }, whenOver: over)
            goesOn = true
            let headers = CallAnswer.headers(head, stored, isAttached: job.isAttached)
            return job.noted(stream.response(CallAnswer.buffering(headers)))
        case .ended(let ended):
            let answer = CallAnswer(gateway: gateway, context: context)
            return job.noted(try await answer.response(to: ended, isAttached: job.isAttached))
        case .timeUp: return try await accepted(job, preference, context)
        case .hungUp:
            clientGone(job, received.model)
            // There is no one to answer.
            throw ChannelError.eof
        case .stopping: throw APIError.stopping
        case .gone: throw try await gateway.missing(job.id, context.caller)
        }
    }

    /// The answer to anyone who has asked for a response in the background.
    private func created(
        _ job: Awaited, _ received: CallIntake.Received, follows: Bool, _ context: GatewayContext
    ) async throws -> Response {
        let recent = gateway.callers.recent
        recent.begin(received.fingerprint)
        defer { recent.end(job.id, received.fingerprint, for: context.settings.repeatWindow) }
        let routes = ResponseRoutes(gateway: gateway)
        var response = try await routes.created(
            job.id, at: received.model, isNew: !job.isAttached, follows: follows, context)
        if job.isAttached { response.headers[.attached] = "true" }
        return job.noted(response)
    }

    /// Waits for the end of the job, or for the first bytes of its answer.
    private func outcome(
        of job: Awaited, _ waiting: JobWait, _ limit: Duration?
    ) async throws -> JobWait.Outcome {
        while true {
            let outcome = try await waiting.outcome(of: job.id, within: limit, follows: true)
            guard case .streaming(let run, _) = outcome, !job.outlivesClient else { return outcome }
            // From here on no other answer may take the place of this one, unless the attempt has failed already.
            gateway.queue.streams.show(run)
            if gateway.queue.streams.isRunning(run) { return outcome }
            if try await gateway.store.isRunning(run) { return outcome }
            gateway.queue.streams.unshow(run)
        }
    }

    private func clientGone(_ job: Awaited, _ model: ModelSettings) {
        if !job.outlivesClient, let linger = model.linger { gateway.callers.linger(job.id, for: linger) }
    }

    /// The job that a call waits for.
    private struct Awaited {
        let id: UUIDv7
        /// Whether it is that of an earlier call, which this one repeats.
        let isAttached: Bool
        let outlivesClient: Bool
        /// As it was stored; nil for that of an earlier call.
        var stored: JobStore.Change?
        /// Whether it was found by its key.
        var isReplayed = false

        func noted(_ response: Response) -> Response {
            var response = response
            if isReplayed { response.headers[.idempotencyReplayed] = "true" }
            return response
        }
    }

    private func job(
        of received: CallIntake.Received, _ request: Request, _ context: GatewayContext
    ) async throws -> Awaited {
        let submission = received.submission
        if submission.key == nil, request.headers.isRepeat,
            let known = await gateway.callers.recent.take(received.fingerprint, waitingBy: gateway.wheel),
            let job = try await gateway.store.head(known), job.status != .cancelled
        {
            if case .file(let name) = submission.input.content { await gateway.store.blobs.remove(name) }
            gateway.callers.metrics.attached.add()
            let outlives = job.options.call?.outlivesClient ?? true
            return Awaited(id: known, isAttached: true, outlivesClient: outlives)
        }
        switch try await SubmitRoutes(gateway: gateway).store(submission, context) {
        case .stored(let change):
            let outlives = change.job.options.call?.outlivesClient ?? true
            return Awaited(id: change.job.id, isAttached: false, outlivesClient: outlives, stored: change)
        case .replayed(let id):
            gateway.callers.metrics.attached.add()
            // A key opts in.
            return Awaited(id: id, isAttached: true, outlivesClient: true, isReplayed: true)
        }
    }

    private func accepted(
        _ awaited: Awaited, _ preference: Preference, _ context: GatewayContext
    ) async throws -> Response {
        let job = try await gateway.job(awaited.id, for: context.caller)
        var headers = HTTPFields()
        headers[.location] = "/v1/inference/\(job.id)"
        preference.note(in: &headers)
        if awaited.isAttached { headers[.attached] = "true" }
        if awaited.isReplayed { headers[.idempotencyReplayed] = "true" }
        return .json(
            try await ReadRoutes(gateway: gateway).record(job, for: context.caller), status: .accepted, headers: headers
        )
    }
}

extension HTTPFields {
    /// Whether an SDK says that it sends this request again.
    fileprivate var isRepeat: Bool {
        self[.stainlessRetryCount].flatMap { Int(saturating: $0) }.map { $0 > 0 } ?? false
    }
}
