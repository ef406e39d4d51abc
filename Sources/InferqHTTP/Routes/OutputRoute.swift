import HTTPTypes
import InferqCore
import InferqQueue
import InferqStore
import NIOCore

/// `GET /v1/inference/{id}/output`: the bytes of an answer, whole, or from an offset on and as they come.
///
/// The names of its fields are those of the Durable Streams protocol.
struct OutputRoute: Sendable {
    let gateway: Gateway

    /// Bytes that are read and written at a time.
    private static let pageLimit = 64 << 10

    @Sendable func output(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let id = try context.uuid("id")
        let query = try Query(request.query)
        try query.allowOnly(["offset", "live"])
        let wish = try Wish(query)
        let job = try await gateway.job(id, for: context.caller)
        do {
            guard let wish else { return try await whole(job, request, context) }
            return try await stretch(wish, of: job, request, context)
        } catch StoreError.gone {
            throw try await gateway.missing(id, context.caller)
        }
    }

    // MARK: Whole

    private func whole(_ job: Job, _ request: Request, _ context: GatewayContext) async throws -> Response {
        if request.method == .head, job.output == nil {
            return Response(status: .ok, headers: try await place(of: job))
        }
        guard let output = job.output else { throw APIError.noOutput(job.id, job.status) }
        try request.checkAccepts(Self.essence(output.contentType))
        var headers = Self.headers(output.contentType, output.contentEncoding)
        if request.method == .head {
            for field in try await place(of: job) { headers.append(field) }
        }
        // A file is checked before a byte of it is sent, so it is read whole.
        guard case .pieces = output.content, let file = try await gateway.store.file(of: output) else {
            let bytes = try await gateway.store.bytes(of: output) ?? []
            return Response(status: .ok, headers: headers, body: .bytes(ByteBuffer(bytes: bytes)))
        }
        return Response(status: .ok, headers: headers, body: PatientWriter(gateway, context).body(file))
    }

    /// Where the newest answer ends at this moment, and whether that is its end.
    private func place(of job: Job) async throws -> HTTPFields {
        let attempt = max(job.attempt, 1)
        let end = try await length(PieceRun(job: job.key, attempt: attempt), of: job)
        return Self.fields(
            StreamOffset(attempt: attempt, byte: end), attempt: attempt, isClosed: job.status.isFinal)
    }

    /// The bytes as they came, with the type that they came with. A browser must not run them as a page of ours.
    private static func headers(_ type: String?, _ encoding: String?) -> HTTPFields {
        var headers = HTTPFields()
        headers[.contentType] = type ?? "application/octet-stream"
        headers[.contentEncoding] = encoding
        headers[.xContentTypeOptions] = "nosniff"
        headers[.contentSecurityPolicy] = "sandbox; default-src 'none'"
        headers[.cacheControl] = "no-cache"
        return headers
    }

    private static func essence(_ type: String?) -> String {
        type.flatMap(MediaType.init)?.essence ?? "application/octet-stream"
    }

    // MARK: From an offset on

    /// What a reader asks for.
    private struct Wish {
        enum Start {
            case beginning
            case end
            case at(StreamOffset)
        }

        let start: Start
        /// Whether the reader follows until the end.
        let isLive: Bool

        /// Nil: neither was asked for.
        init?(_ query: Query) throws(APIError) {
            let offset = try query.single("offset")
            isLive = try query.flag("live")
            switch offset {
            case nil, "-1": start = .beginning
            case "now": start = .end
            case let text?:
                guard let offset = StreamOffset(text) else {
                    throw .invalid(
                        "query item offset",
                        "it must be -1, now, or an attempt and a byte such as \(StreamOffset(attempt: 1, byte: 0).text)"
                    )
                }
                start = .at(offset)
            }
            if offset == nil, !isLive { return nil }
        }
    }

    private func stretch(
        _ wish: Wish, of job: Job, _ request: Request, _ context: GatewayContext
    ) async throws -> Response {
        var job = job
        var (cursor, head) = try await start(wish, job)
        if wish.isLive, !job.status.isFinal {
            let hasMore = try await cursor.byte < length(cursor.run, of: job)
            // The type is known once the first byte is there.
            if head == nil || job.status == .pending && !hasMore {
                (cursor, head) = try await nextStart(wish, of: job.id, context)
                guard let current = try await gateway.store.job(job.id) else { throw StoreError.gone }
                job = current
            }
        }
        let type = head?.contentType ?? job.output?.contentType
        try request.checkAccepts(Self.essence(type))
        var headers = Self.headers(type, head?.contentEncoding ?? job.output?.contentEncoding)
        headers[.cacheControl] = "no-store, no-transform"
        headers[.accelBuffering] = "no"
        let isNewest = cursor.run.attempt == max(job.attempt, 1)
        if wish.isLive, !job.status.isFinal || !isNewest, head != nil {
            let offset = StreamOffset(attempt: cursor.run.attempt, byte: cursor.byte)
            for field in Self.fields(offset, attempt: cursor.run.attempt, isClosed: false) { headers.append(field) }
            return Response(
                status: .ok, headers: headers,
                body: .pieces(length: nil) { [cursor] in
                    try await follow(cursor, context)
                })
        }
        return try await stored(cursor, job, head, headers, request, context)
    }

    /// What is there, to the end of the attempt as it is now.
    private func stored(
        _ cursor: StreamCursor, _ job: Job, _ head: StreamHead?, _ headers: HTTPFields, _ request: Request,
        _ context: GatewayContext
    ) async throws -> Response {
        var headers = headers
        let run = cursor.run
        let end = try await length(run, of: job)
        let isOver = run.attempt < job.attempt
        let isClosed = !isOver && job.status.isFinal
        let next = StreamOffset(attempt: run.attempt, byte: end)
        for field in Self.fields(next, attempt: run.attempt, isClosed: isClosed) { headers.append(field) }
        let writer = PatientWriter(gateway, context)
        guard head != nil else {
            let bytes = try await job.output.asyncFlatMap { try await gateway.store.bytes(of: $0) } ?? []
            let rest = ByteBuffer(bytes: bytes.dropFirst(cursor.byte))
            return Response(status: .ok, headers: headers, body: .bytes(rest))
        }
        // The reader of an attempt that is over hears by the cut that it was no whole answer.
        return Response(
            status: .ok, headers: headers,
            body: .pieces(length: isOver ? nil : end - cursor.byte) {
                var cursor = cursor
                while cursor.byte < end {
                    guard let page = try await gateway.store.page(at: cursor, byteLimit: Self.pageLimit) else {
                        throw StoreError.gone
                    }
                    guard page.next.byte > cursor.byte else { throw StoreError.gone }
                    let bytes = page.bytes.prefix(end - cursor.byte)
                    try await writer.write(ByteBuffer(bytes: bytes))
                    cursor = page.next
                }
                if isOver { throw ChannelError.eof }
                context.connection.endAnswer()
            })
    }

    private func follow(_ cursor: StreamCursor, _ context: GatewayContext) async throws {
        let follower = AnswerFollower(gateway, context)
        switch try await follower.follow(from: cursor) {
        case .completed: context.connection.endAnswer()
        // The transfer is cut: asked again, the reader learns what became of it.
        case .broken, .stopping: throw ChannelError.eof
        }
    }

    /// Where a reader begins who waits for an attempt to answer.
    private func nextStart(
        _ wish: Wish, of id: UUIDv7, _ context: GatewayContext
    ) async throws -> (StreamCursor, StreamHead?) {
        let waiting = JobWait(gateway: gateway, connection: context.connection)
        switch try await waiting.outcome(of: id, within: nil, follows: true) {
        case .streaming(let run, let head): return (StreamCursor(run, byte: 0), head)
        case .ended(let job): return try await start(wish, job)
        case .hungUp: throw ChannelError.eof
        case .stopping, .timeUp: throw APIError.stopping
        case .gone: throw StoreError.gone
        }
    }

    /// Where a reader begins.
    ///
    /// - Returns: with what the head of that answer said; nil where no byte of it was stored as it came.
    private func start(_ wish: Wish, _ job: Job) async throws -> (StreamCursor, StreamHead?) {
        let newest = PieceRun(job: job.key, attempt: max(job.attempt, 1))
        var (run, byte) = (newest, 0)
        switch wish.start {
        case .beginning: break
        case .end: byte = try await length(newest, of: job)
        case .at(let offset):
            guard offset.attempt <= newest.attempt else { throw Self.past(offset) }
            run = PieceRun(job: job.key, attempt: offset.attempt)
            byte = offset.byte
            let end = try await length(run, of: job)
            guard byte <= end else { throw Self.past(offset) }
            // All of it was read: the newest one is what follows, from its beginning.
            if run != newest, byte == end { (run, byte) = (newest, 0) }
        }
        // Pieces that are not the output were followed by an answer that came whole.
        if job.status == .completed, run == newest, job.output?.content != .pieces(run) {
            return (StreamCursor(run, byte: byte), nil)
        }
        return (StreamCursor(run, byte: byte), try await gateway.store.streamHead(of: run))
    }

    private static func past(_ offset: StreamOffset) -> APIError {
        .invalid("query item offset", "\(offset.text) is past the end of what has arrived")
    }

    /// How far an attempt's answer has come.
    private func length(_ run: PieceRun, of job: Job) async throws -> Int {
        if let reach = try await gateway.store.reach(of: run) { return reach.byteCount }
        // An answer that came whole.
        return run.attempt == job.attempt ? job.output?.byteCount ?? 0 : 0
    }

    private static func fields(_ next: StreamOffset, attempt: Int, isClosed: Bool) -> HTTPFields {
        var fields = HTTPFields()
        fields[.streamNextOffset] = next.text
        fields[.attempt] = String(attempt)
        if isClosed { fields[.streamClosed] = "true" }
        return fields
    }
}
