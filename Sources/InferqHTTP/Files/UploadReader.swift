import Crypto
import HTTPTypes
import InferqCore
import InferqStore

/// Receives a file: to the disk as it comes.
struct UploadReader: Sendable {
    let gateway: Gateway
    let context: GatewayContext

    /// Bytes of a form beside the file.
    private static let formLimit = 64 << 10

    /// - Throws: ``APIError`` or ``StoreError``; nothing is left behind then.
    func receive(_ request: Request) async throws -> Upload {
        guard let type = request.headers[.contentType], MediaType(type)?.essence == "multipart/form-data",
            let parser = FieldParameters(type)["boundary"].flatMap(MultipartParser.init(boundary:))
        else {
            throw APIError.invalid("header Content-Type", "a file must be sent as multipart/form-data with a boundary")
        }
        guard !gateway.store.disk.isShort else { throw StoreError.full }
        let writer = try await gateway.store.blobs.create(.input)
        do {
            return try await receive(request, parser, writer)
        } catch {
            await writer.abandon()
            throw error
        }
    }

    private func receive(
        _ request: Request, _ parser: MultipartParser, _ writer: Blobs.Writer
    ) async throws -> Upload {
        let limit = BodyLimit(byteCount: context.settings.batch.maxBytes, setting: "batch.max_bytes")
        try await BodyReader(gateway: gateway, context: context)
            .begin(request, BodyLimit(byteCount: limit.byteCount + Self.formLimit, setting: limit.setting))
        var parser = parser
        var form = UploadForm()
        var digest = SHA256()
        var (whole, count) = (0, 0)
        for try await chunk in request.body {
            whole += chunk.readableBytes
            guard whole <= limit.byteCount + Self.formLimit else { throw limit.error }
            guard gateway.bodies.take(chunk.readableBytes, limit: context.settings.bodiesInFlight) else {
                throw APIError.tooManyBodies
            }
            defer { gateway.bodies.give(back: chunk.readableBytes) }
            parser.read(Array(chunk.readableBytesView).span, &form)
            let bytes = form.takeBytes()
            count += bytes.count
            guard whole - count <= Self.formLimit else {
                throw APIError.invalid("body", "apart from the file it has more than \(Self.formLimit) bytes")
            }
            guard !bytes.isEmpty else { continue }
            guard count <= limit.byteCount else { throw limit.error }
            digest.update(data: bytes)
            try await writer.write(bytes)
        }
        guard parser.isOver else { throw APIError.invalid("body", "it ends before the last boundary of its form") }
        guard let name = form.fileName else { throw APIError.invalid("file", "it is missing") }
        guard !form.hasSeveralFiles else { throw APIError.invalid("file", "it is given twice") }
        let draft = JobStore.UploadDraft(
            client: context.caller.client, purpose: try form.purpose(), name: name, byteCount: count,
            digest: Array(digest.finalize()), lifetime: try form.lifetime())
        return try await gateway.store.add(draft, in: try await writer.finish())
    }
}
