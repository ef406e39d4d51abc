import Crypto
import HTTPTypes
import InferqCore
import InferqStore
import NIOCore

/// A request's body as it was received.
struct ReceivedBody: Sendable {
    /// All bytes, or nil when they went to a file as they came.
    let bytes: [UInt8]?
    let payload: Payload
}

/// How large a body may be, and by which setting.
struct BodyLimit: Sendable {
    let byteCount: Int
    let setting: String

    /// Of requests.
    static func body(_ settings: HTTPSettings) -> BodyLimit {
        BodyLimit(byteCount: settings.maxBody, setting: "max_body")
    }

    /// Of what goes to a file as it comes: calls, and forms with files.
    static func upload(_ settings: HTTPSettings) -> BodyLimit {
        BodyLimit(byteCount: settings.maxUpload, setting: "max_upload")
    }

    var error: APIError { .bodyTooLarge(limit: byteCount, setting: setting) }
}

/// Receives request bodies within their limits.
struct BodyReader: Sendable {
    let gateway: Gateway
    let context: GatewayContext

    /// Checks what the head says of the body: encoding, then size.
    func checkHead(_ request: Request) throws(APIError) {
        if let encoding = request.headers[.contentEncoding], encoding.lowercased() != "identity" {
            throw .contentEncoding
        }
    }

    private func checkLength(_ request: Request, _ limit: BodyLimit) throws(APIError) -> Int? {
        guard let text = request.headers[.contentLength], let length = Int(saturating: text) else { return nil }
        guard length <= limit.byteCount else { throw limit.error }
        return length
    }

    /// Checks what the head says of the body's length, and asks for it.
    ///
    /// - Returns: the length, if it is announced.
    @discardableResult
    func begin(_ request: Request, _ limit: BodyLimit) async throws -> Int? {
        let announced = try checkLength(request, limit)
        try await invite(request)
        return announced
    }

    /// Says "100 Continue" to a client that waits for it before it sends the body.
    private func invite(_ request: Request) async throws {
        guard request.headers[.expect]?.lowercased() == "100-continue" else { return }
        try await context.connection.invite()
    }

    /// Whether a body that is about to be refused begins as a JSON object does, as far as it has come with the head or
    /// comes without an invitation.
    ///
    /// - Throws: what broke the body.
    func beginsLikeJSON(_ request: Request) async throws -> Bool {
        guard request.headers[.expect] == nil else { return false }
        for try await chunk in request.body where chunk.readableBytes > 0 {
            return chunk.readableBytesView.first { !" \t\r\n".utf8.contains($0) } == UInt8(ascii: "{")
        }
        return false
    }

    /// All bytes, in memory: for JSON, which must be looked at as a whole.
    ///
    /// - Parameter limit: nil: the setting `max_body`.
    /// - Throws: ``APIError`` 413, or 503 when too many bodies are in flight.
    func collect<Value>(
        _ request: Request, limit: BodyLimit? = nil, _ use: ([UInt8]) async throws -> Value
    ) async throws -> Value {
        let limit = limit ?? .body(context.settings)
        let announced = try checkLength(request, limit)
        try await invite(request)
        var taken = 0
        defer { gateway.bodies.give(back: taken) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(min(announced ?? 0, 64 << 10))
        for try await chunk in request.body {
            guard bytes.count + chunk.readableBytes <= limit.byteCount else { throw limit.error }
            guard gateway.bodies.take(chunk.readableBytes, limit: context.settings.bodiesInFlight) else {
                throw APIError.tooManyBodies
            }
            taken += chunk.readableBytes
            bytes.append(contentsOf: chunk.readableBytesView)
        }
        if let announced, bytes.count < announced {
            throw APIError.malformed(.shortBody(bytes.count, of: announced))
        }
        return try await use(bytes)
    }

    /// Small bodies in memory, larger ones in a file as they arrive.
    ///
    /// - Parameters:
    ///   - limit: nil: the setting `max_body`.
    ///   - watch: sees all bytes as they come.
    func receive(
        _ request: Request,
        contentType: String?,
        limit: BodyLimit? = nil,
        _ watch: (Span<UInt8>) -> Void = { _ in }
    ) async throws -> Payload {
        let limit = limit ?? .body(context.settings)
        let announced = try await begin(request, limit)
        var bytes: [UInt8] = []
        var writer: Blobs.Writer?
        var digest = SHA256()
        var count = 0
        // Of those, the ones that are in memory.
        var held = 0
        defer { gateway.bodies.give(back: held) }
        do {
            for try await chunk in request.body {
                guard count + chunk.readableBytes <= limit.byteCount else { throw limit.error }
                guard gateway.bodies.take(chunk.readableBytes, limit: context.settings.bodiesInFlight) else {
                    throw APIError.tooManyBodies
                }
                count += chunk.readableBytes
                held += chunk.readableBytes
                let start = bytes.count
                bytes.append(contentsOf: chunk.readableBytesView)
                digest.update(data: bytes[start...])
                watch(bytes.span.extracting(start...))
                guard bytes.count > Payload.inlineLimit else { continue }
                let open: Blobs.Writer
                if let writer { open = writer } else { open = try await gateway.store.blobs.create(.input) }
                writer = open
                try await open.write(bytes)
                bytes.removeAll(keepingCapacity: true)
                gateway.bodies.give(back: held)
                held = 0
            }
            if let announced, count < announced {
                throw APIError.malformed(.shortBody(count, of: announced))
            }
            let content: Payload.Content
            if let writer {
                try await writer.write(bytes)
                content = .file(try await writer.finish())
            } else {
                content = .inline(bytes)
            }
            return Payload(
                content: content,
                byteCount: count,
                contentType: contentType,
                form: .bytes,
                digest: Array(digest.finalize())
            )
        } catch {
            await writer?.abandon()
            throw error
        }
    }
}

extension Payload {
    /// A JSON body, in the row or in a file of its own.
    ///
    /// - Throws: ``StoreError`` when the file cannot be written.
    static func json(_ bytes: [UInt8], contentType: String?, _ blobs: Blobs) async throws -> Payload {
        let isLarge = bytes.count > inlineLimit
        return Payload(
            content: isLarge ? .file(try await blobs.store(bytes, as: .input)) : .inline(bytes),
            byteCount: bytes.count,
            contentType: contentType,
            form: .json,
            digest: isLarge ? Array(SHA256.hash(data: bytes)) : nil
        )
    }
}
