import HTTPTypes
import InferqCore
import InferqStore
import NIOCore

/// `GET /v1/store/check` and `GET /v1/store/backup`, for the users of this host alone: both cost disk and time, and a
/// backup holds all that every client has sent.
struct StoreRoutes: Sendable {
    let gateway: Gateway

    /// How long a client may leave a piece of the archive unread. A stick that it is written to may stand still for
    /// longer than a listener of events.
    private static let patience = Duration.seconds(60)
    /// How long one that asks for a copy waits while another is there.
    private static let timeToLetGo = Duration.seconds(1)

    // MARK: Check

    @Sendable func check(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try admit(request, context, "application/json")
        // It takes minutes where a store is large: to ask whether it is offered costs nothing.
        guard request.method != .head else { return .json([]) }
        let start = ContinuousClock.now
        let check = try await gateway.unlessLeft(context.connection) { () async throws -> StoreCheck in
            do {
                return try await copy(context).check()
            } catch StoreError.damaged(let reason) {
                return StoreCheck(problems: ["the database cannot be read to its end: \(reason)"])
            }
        }
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("ok")
        writer.value(check.problems.isEmpty)
        writer.name("problems")
        writer.beginArray()
        for problem in check.problems { writer.value(problem) }
        writer.endArray()
        let numbers: [(StaticString, Int)] = [
            ("database_bytes", check.databaseBytes), ("jobs", check.jobs), ("events", check.events),
            ("blobs", check.blobs), ("blob_bytes", check.blobBytes), ("blobs_missing", check.missing),
            ("blobs_torn", check.torn),
        ]
        for (name, number) in numbers {
            writer.name(name)
            writer.value(number)
        }
        writer.name("seconds")
        writer.value(Double((ContinuousClock.now - start).milliseconds) / 1000)
        writer.endObject()
        return .json(writer.bytes)
    }

    // MARK: Backup

    @Sendable func backup(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try admit(request, context, Self.archiveType)
        var headers = HTTPFields()
        headers[.contentType] = Self.archiveType
        headers[.contentDisposition] = "attachment; filename=\"inferq-backup.tar\""
        headers[.cacheControl] = "no-store"
        guard request.method != .head else { return Response(status: .ok, headers: headers) }
        let copy = try await gateway.unlessLeft(context.connection) { try await self.copy(context) }
        headers[.missingBlobs] = String(copy.figures.missing + copy.figures.torn)
        let body = Response.Body.pieces(length: copy.figures.archiveBytes) {
            try await send(copy, context.connection)
            context.connection.endAnswer()
        }
        return Response(status: .ok, headers: headers, body: body)
    }

    private static let archiveType = "application/x-tar"

    private func send(_ copy: StoreCopy, _ connection: Connection) async throws {
        let bell = Bell()
        gateway.queue.hub.listenForStop(bell)
        defer { gateway.queue.hub.leaveStop(bell) }
        try await copy.archive { bytes in
            // A stop does not wait for it, which may take minutes: the client sees an answer that was cut short.
            if bell.hasRung { throw APIError.stopping }
            let deadline = gateway.wheel.call(after: Self.patience, tolerance: .seconds(1)) {
                connection.channel.close(promise: nil)
            }
            defer { gateway.wheel.cancel(deadline) }
            try await connection.write(ByteBuffer(bytes: bytes))
        }
    }

    // MARK: Both

    /// A client that has the last byte of a copy may ask for the next one before that is let go.
    private func copyAfterAnother() async throws -> StoreCopy {
        let end = ContinuousClock.now + Self.timeToLetGo
        while ContinuousClock.now < end {
            do {
                return try await gateway.store.copy()
            } catch StoreCopy.Refusal.busy {
                await gateway.wheel.sleep(for: .milliseconds(50))
            }
        }
        return try await gateway.store.copy()
    }

    private func admit(_ request: Request, _ context: GatewayContext, _ type: String) throws(APIError) {
        guard context.connection.isLocal else { throw .unixSocketOnly }
        try request.checkAccepts(type)
        try Query(request.query).allowOnly([])
    }

    private func copy(_ context: GatewayContext) async throws -> StoreCopy {
        do {
            return try await copyAfterAnother()
        } catch StoreCopy.Refusal.busy {
            throw APIError.copyInProgress
        } catch StoreCopy.Refusal.noRoom(let needed, let free) {
            throw APIError.noRoomForCopy(needed: needed, free: free)
        }
    }
}
