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
        var body = BodyModel(contentType: contentType, contentEncoding: request.headers[.contentEncoding])
        var input = try await reader.receive(
            request, contentType: contentType, limit: .upload(context.settings)
        ) { bytes in
            if !found.isNamedByPath { body.read(bytes) }
        }
        do {
            let model = try found.model(named: body.name)
            let digest = input.digest ?? []
            if let shown = Self.json(input, request) { input = shown }
            let outlives =
                preference.respondsAsync || preference.waits || key != nil || request.headers[.conversationID] != nil
            var submission = Submission(model: model.name, options: options.options, input: input)
            submission.options.kept.traceparent = TraceContext.child(of: request.headers[.traceparent])
            submission.options.kept.call = Call(
                method: request.method.rawValue,
                target: found.target,
                dialect: model.dialect,
                headers: headers,
                outlivesClient: outlives
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
            return Received(submission: submission, model: model, fingerprint: fingerprint)
        } catch {
            if case .file(let name) = input.content { await gateway.store.blobs.remove(name) }
            throw error
        }
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
