import HTTPTypes
import InferqCore
import InferqQueue
import InferqStore

/// Makes a submission of a call: its body, whose model it is, and what the client asks of the gateway by header fields.
struct CallIntake: Sendable {
    let gateway: Gateway
    let context: GatewayContext

    /// A call as it was received.
    struct Received: Sendable {
        let submission: Submission
        let model: ModelSettings
        let fingerprint: RecentCalls.Fingerprint
        /// Whether the client of a response in the background wants its events at once; nil: it is no such response.
        let followsBackground: Bool?
    }

    /// - Throws: ``APIError``; nothing is left behind then.
    func receive(
        _ request: Request, _ found: CallTable.Found, _ preference: Preference
    ) async throws -> Received {
        // What the head alone can be refused for, before the body is asked for.
        let options = try JobOptions(headers: request.headers)
        let key = try options.key(orHeader: request.headers[.idempotencyKey])
        let headers = try HeaderPassage.toServer(request.headers)
        let contentType = request.headers[.contentType]
        let reader = BodyReader(gateway: gateway, context: context)
        let mayBeBackground = BackgroundRequest.isAt(request.method, found.target)
        var body = BodyModel(
            contentType: contentType, contentEncoding: request.headers[.contentEncoding],
            flags: mayBeBackground ? [BackgroundRequest.flag] : [])
        var input = try await reader.receive(
            request, contentType: contentType, limit: .upload(context.settings)
        ) { bytes in
            if !found.isNamedByPath || mayBeBackground { body.read(bytes) }
        }
        do {
            let model = try found.model(named: body.name)
            let digest = input.digest ?? []
            var background: BackgroundRequest?
            if mayBeBackground, body.isTrue(BackgroundRequest.flag), model.dialect == .openai {
                background = try await backgroundRequest(&input, to: model)
            }
            if let shown = Self.json(input, request) { input = shown }
            let outlives =
                preference.respondsAsync || preference.waits || key != nil || background != nil
                || request.headers[.conversationID] != nil
            var submission = Submission(model: model.name, options: options.options, input: input)
            submission.options.kept.traceparent = TraceContext.child(of: request.headers[.traceparent])
            submission.options.kept.call = Call(
                method: request.method.rawValue,
                target: found.target,
                dialect: model.dialect,
                headers: headers,
                outlivesClient: outlives,
                background: background.map { BackgroundCall(previous: $0.previous) }
            )
            let line = "\(request.method.rawValue) \(found.target)"
            submission.key = key.map {
                IdempotencyKey(
                    $0, contentType: contentType, query: "\(model.name) \(line)", bodyDigest: digest)
            }
            if model.forwardsAuthorization, context.mayForwardAuthorization(of: request) {
                submission.authorization = request.headers[.authorization]
            }
            let fingerprint = RecentCalls.fingerprint(of: context.caller.client, line, model.name, digest)
            return Received(
                submission: submission, model: model, fingerprint: fingerprint,
                followsBackground: background?.wantsEvents)
        } catch {
            if case .file(let name) = input.content { await gateway.store.blobs.remove(name) }
            throw error
        }
    }

    /// Puts what the model server gets of a request for a response in the background in the place of what came.
    private func backgroundRequest(
        _ input: inout Payload, to model: ModelSettings
    ) async throws -> BackgroundRequest {
        try context.caller.checkMayUse(model.name)
        // It is edited in memory, so the limit of bodies that are read into memory is its limit.
        let limit = BodyLimit.body(context.settings)
        guard input.byteCount <= limit.byteCount else { throw limit.error }
        guard gateway.bodies.take(input.byteCount, limit: context.settings.bodiesInFlight) else {
            throw APIError.tooManyBodies
        }
        let taken = input.byteCount
        defer { gateway.bodies.give(back: taken) }
        var background = try BackgroundRequest(try await gateway.store.bytes(of: input) ?? [])
        if let previous = background.previous {
            let known = PreviousResponse(gateway: gateway, caller: context.caller)
            background.name(previous: try await known.name(of: previous, at: model))
        }
        let edited = try await Payload.json(background.body, contentType: input.contentType, gateway.store.blobs)
        if case .file(let name) = input.content { await gateway.store.blobs.remove(name) }
        input = edited
        return background
    }

    /// A small JSON body stands in the record as it came; nil for anything else.
    private static func json(_ input: Payload, _ request: Request) -> Payload? {
        guard case .inline(let bytes) = input.content, request.headers[.contentEncoding] == nil,
            input.contentType.flatMap(MediaType.init)?.isJSON == true,
            (try? JSONScanner.validate(bytes)) != nil
        else { return nil }
        return Payload(
            content: input.content, byteCount: input.byteCount, contentType: input.contentType, form: .json)
    }
}
