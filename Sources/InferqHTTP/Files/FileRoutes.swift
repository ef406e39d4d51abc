import HTTPTypes
import InferqCore
import InferqStore

/// `/v1/files`: files as the OpenAI API has them, for batches.
struct FileRoutes: Sendable {
    let gateway: Gateway

    @Sendable func create(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try Query(request.query).allowOnly([])
        let upload = try await UploadReader(gateway: gateway, context: context).receive(request)
        context.note("file stored", of: upload)
        return .json(upload.document)
    }

    @Sendable func list(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let query = try Query(request.query)
        try query.allowOnly(["purpose", "limit", "order", "after"])
        var filter = JobStore.UploadFilter()
        filter.client = context.caller.view
        if let name = try query.single("purpose") {
            guard let purpose = Upload.Purpose.allCases.first(where: { $0.name == name }) else {
                let names = Upload.Purpose.allCases.map(\.name).joined(separator: " or ")
                throw APIError.invalid("query item purpose", "it must be \(names)")
            }
            filter.purpose = purpose
        }
        switch try query.single("order") {
        case nil, "desc": break
        case "asc": filter.isOldestFirst = true
        case _?: throw APIError.invalid("query item order", "it must be asc or desc")
        }
        if let after = try query.single("after") {
            guard let id = Upload.ids.uuid(in: after) else {
                throw APIError.invalid("query item after", "it is not the identifier of a file")
            }
            filter.after = id
        }
        let limit = try query.number("limit", in: 1...10_000) ?? 10_000
        filter.limit = limit + 1
        let found = try await gateway.store.uploads(filter)
        return .json(OpenAIDocuments.list(found.prefix(limit), hasMore: found.count > limit))
    }

    @Sendable func show(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try Query(request.query).allowOnly([])
        return .json(try await upload(context).document)
    }

    @Sendable func content(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try Query(request.query).allowOnly([])
        let upload = try await upload(context)
        do {
            guard let file = try await gateway.store.file(of: upload.payload) else { throw StoreError.gone }
            var headers = HTTPFields()
            headers[.contentType] = "application/octet-stream"
            headers[.xContentTypeOptions] = "nosniff"
            headers[.cacheControl] = "no-store"
            return Response(status: .ok, headers: headers, body: PatientWriter(gateway, context).body(file))
        } catch StoreError.gone {
            throw APIError.noSuchFile(upload.name)
        }
    }

    @Sendable func delete(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try Query(request.query).allowOnly([])
        let upload = try await upload(context)
        try context.checkMayChange(upload)
        switch try await gateway.store.remove(upload) {
        case .removed: break
        case .missing: throw APIError.noSuchFile(upload.name)
        case .inUse: throw APIError.fileInUse(upload.name)
        }
        context.note("file deleted", of: upload)
        return .json(OpenAIDocuments.deleted(upload.name, "file"))
    }

    /// - Throws: 404, the same for another client's file and one that never was.
    private func upload(_ context: GatewayContext) async throws -> Upload {
        let text = String(context.parameters["id"] ?? "")
        guard let id = Upload.ids.uuid(in: text),
            let upload = try await gateway.store.upload(id, of: context.caller.view)
        else { throw APIError.noSuchFile(text) }
        return upload
    }
}
