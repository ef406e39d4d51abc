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
        let job = try await job(of: received, request)
        if preference.respondsAsync { return try await accepted(job, preference) }
        let waiting = JobWait(gateway: gateway, connection: context.connection)
        let limit = preference.waits ? preference.wait(at: HTTPSettings.longestWait) : nil
        gateway.callers.recent.begin(received.fingerprint)
        defer { gateway.callers.recent.end(job.id, received.fingerprint, for: context.settings.repeatWindow) }
        switch try await waiting.outcome(of: job.id, within: limit) {
        case .ended(let ended):
            let answer = CallAnswer(gateway: gateway, context: context)
            var response = try await answer.response(to: ended, isAttached: job.isAttached)
            if job.isReplayed { response.headers[.idempotencyReplayed] = "true" }
            return response
        case .timeUp: return try await accepted(job, preference)
        case .hungUp:
            if !job.outlivesClient, let linger = received.model.linger { gateway.callers.linger(job.id, for: linger) }
            // There is nobody to answer.
            throw ChannelError.eof
        case .stopping: throw APIError.stopping
        case .gone: throw try await gateway.missing(job.id)
        }
    }

    /// The job that a call waits for.
    private struct Awaited {
        let id: UUIDv7
        /// Whether it is that of an earlier call, which this one repeats.
        let isAttached: Bool
        let outlivesClient: Bool
        /// Whether it was found by its key.
        var isReplayed = false
    }

    private func job(of received: CallIntake.Received, _ request: Request) async throws -> Awaited {
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
        switch try await SubmitRoutes(gateway: gateway).store(submission) {
        case .stored(let job):
            let outlives = job.options.call?.outlivesClient ?? true
            return Awaited(id: job.id, isAttached: false, outlivesClient: outlives)
        case .replayed(let id):
            gateway.callers.metrics.attached.add()
            // A key opts in.
            return Awaited(id: id, isAttached: true, outlivesClient: true, isReplayed: true)
        }
    }

    private func accepted(_ awaited: Awaited, _ preference: Preference) async throws -> Response {
        guard let job = try await gateway.store.job(awaited.id) else { throw try await gateway.missing(awaited.id) }
        var headers = HTTPFields()
        headers[.location] = "/v1/inference/\(job.id)"
        preference.note(in: &headers)
        if awaited.isAttached { headers[.attached] = "true" }
        if awaited.isReplayed { headers[.idempotencyReplayed] = "true" }
        return .json(try await ReadRoutes(gateway: gateway).record(job), status: .accepted, headers: headers)
    }
}

extension HTTPFields {
    /// Whether an SDK says that it sends this request again.
    fileprivate var isRepeat: Bool {
        self[.stainlessRetryCount].flatMap { Int(saturating: $0) }.map { $0 > 0 } ?? false
    }
}
