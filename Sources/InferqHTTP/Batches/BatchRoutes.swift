import HTTPTypes
import InferqCore
import InferqStore

/// `/v1/batches`: batches as the OpenAI API has them.
struct BatchRoutes: Sendable {
    let gateway: Gateway

    /// Bytes of `metadata`; the API has 16 pairs of up to 576.
    private static let metadataLimit = 16 << 10

    @Sendable func create(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try Query(request.query).allowOnly([])
        let terms = try await BodyReader(gateway: gateway, context: context).collect(request) { body -> Batch.Terms in
            try self.terms(body, context)
        }
        let batch: Batch
        switch try await gateway.store.add(terms, limit: context.settings.batch.maxOpen) {
        case .added(let added): batch = added
        case .noInput: throw APIError.noSuchFile(Upload.ids.text(of: terms.input))
        case .tooMany: throw APIError.tooManyBatches(limit: context.settings.batch.maxOpen)
        }
        gateway.batchArrivals.add(batch.id)
        context.note("batch stored", of: batch)
        return .json(batch.document)
    }

    private func terms(_ body: [UInt8], _ context: GatewayContext) throws(APIError) -> Batch.Terms {
        let object = try BodyObject(
            body, named: ["input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after"])
        guard let file = try object.text("input_file_id") else { throw .invalid("input_file_id", "it is missing") }
        guard let input = Upload.ids.uuid(in: file) else { throw .noSuchFile(file) }
        guard let endpoint = try object.text("endpoint") else { throw .invalid("endpoint", "it is missing") }
        guard try object.text("completion_window") == "24h" else {
            throw .invalid("completion_window", "it must be \"24h\"")
        }
        // It becomes part of a request's first line: a path and nothing else, spelled in one way.
        let isPlain = endpoint.utf8.allSatisfy(Self.isPlain)
        let found = isPlain ? try gateway.callTable.current.find(.post, endpoint, query: nil) : nil
        guard let found, found.kind == .job, [.openai, .anthropic].contains(found.form), !found.isNamedByPath,
            found.target == endpoint,
            endpoint.hasPrefix("/v1/")
        else {
            throw .invalid("endpoint", "no model with the dialect openai takes requests at \"\(endpoint.clipped)\"")
        }
        return Batch.Terms(
            client: context.caller.client, endpoint: endpoint, input: input, metadata: try Self.metadata(object),
            window: context.settings.batch.window, outputLifetime: try Self.lifetime(object))
    }

    /// Unreserved characters of RFC 3986, and the slash.
    private static func isPlain(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
            || "-._~/".utf8.contains(byte)
    }

    private static func metadata(_ object: BodyObject) throws(APIError) -> [UInt8] {
        guard let member = try object.single("metadata"), member.kind != .null else { return [] }
        let bytes = Array(object.bytes[member.value])
        guard member.kind == .object, bytes.count <= metadataLimit,
            JSONScanner.members(of: bytes, in: bytes.indices).allSatisfy({ $0.kind == .string })
        else { throw .invalid("metadata", "it must be an object of strings, of at most \(metadataLimit) bytes") }
        return bytes
    }

    private static func lifetime(_ object: BodyObject) throws(APIError) -> Duration? {
        guard let member = try object.single("output_expires_after"), member.kind != .null else { return nil }
        let name = "output_expires_after"
        guard member.kind == .object,
            let said = JSONObject(Array(object.bytes[member.value]), named: ["anchor", "seconds"]),
            said.text("anchor") == "created_at", let seconds = said.integer("seconds"),
            UploadForm.lifetimes.contains(seconds)
        else {
            throw .invalid(name, "it must have the anchor created_at and seconds from 3600 to 2592000")
        }
        return .seconds(seconds)
    }

    @Sendable func list(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let query = try Query(request.query)
        try query.allowOnly(["after", "limit"])
        let limit = try query.number("limit", in: 1...100) ?? 20
        var after: UUIDv7?
        if let text = try query.single("after") {
            guard let id = Batch.ids.uuid(in: text) else {
                throw APIError.invalid("query item after", "it is not the identifier of a batch")
            }
            after = id
        }
        let found = try await gateway.store.batches(of: context.caller.view, after: after, limit: limit + 1)
        return .json(OpenAIDocuments.list(found.prefix(limit), hasMore: found.count > limit))
    }

    @Sendable func show(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try Query(request.query).allowOnly([])
        return .json(try await batch(context).document)
    }

    @Sendable func cancel(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try Query(request.query).allowOnly([])
        let batch = try await batch(context)
        try context.checkMayChange(batch)
        let cancelled = try await gateway.store.change(batch.id) { batch, now in
            guard [.validating, .inProgress].contains(batch.state) else { return false }
            batch.ending = .cancelled
            batch.become(.cancelling, at: now)
            return true
        }
        if let cancelled {
            // No line begins any more when this is answered.
            try await BatchRun.cancelPending(of: batch.id, gateway.store)
            gateway.queue.batches.ring(batch.id.key)
            context.note("batch cancelled", of: batch)
            return .json(cancelled.document)
        }
        let current = try await self.batch(context)
        guard [.cancelling, .cancelled].contains(current.state) else {
            throw APIError.batchOver(batch.name, current.state.name)
        }
        return .json(current.document)
    }

    /// - Throws: 404, the same for another client's batch and one that never was.
    private func batch(_ context: GatewayContext) async throws -> Batch {
        let text = String(context.parameters["id"] ?? "")
        guard let id = Batch.ids.uuid(in: text),
            let batch = try await gateway.store.batch(id, of: context.caller.view)
        else { throw APIError.noSuchBatch(text) }
        return batch
    }
}
