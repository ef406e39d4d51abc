import HTTPTypes
import InferqCore
import NIOCore
import NIOHTTP1

/// Passes a request to its model server at once, and the answer back as it comes: no job, nothing stored.
struct HandThrough: Sendable {
    /// Of the whole exchange, the last byte of the answer included.
    static let timeLimit = Duration.seconds(30)
    /// Bytes of an answer.
    static let answerLimit = 16 << 20

    private let gateway: Gateway
    private let client = HTTPClient()

    init(gateway: Gateway) {
        self.gateway = gateway
    }

    /// - Throws: ``APIError``, to be put in the form of what was found.
    func answer(
        _ request: Request, _ found: CallTable.Found, _ context: GatewayContext
    ) async throws -> Response {
        let reader = BodyReader(gateway: gateway, context: context)
        let (model, answer) = try await reader.collect(request) { body in
            let model = try found.model(named: named(by: request, body, found))
            try context.caller.checkMayUse(model.name)
            return (model, try await send(request, body, to: found.target, of: model, context))
        }
        return try response(to: request, answer, of: model, context)
    }

    private func named(by request: Request, _ body: [UInt8], _ found: CallTable.Found) -> String? {
        guard !found.isNamedByPath, !body.isEmpty else { return nil }
        return BodyModel.name(
            in: body, contentType: request.headers[.contentType], contentEncoding: request.headers[.contentEncoding],
            // Ollama's own client says "name" where it asks about a model.
            names: ["model", "name"]
        )
    }

    // MARK: There

    private func send(
        _ request: Request, _ body: [UInt8], to target: String, of model: ModelSettings, _ context: GatewayContext
    ) async throws -> ClientAnswer {
        guard let root = ModelRoot(model) else { throw APIError.connectFailed(model.name) }
        var headers = HeaderPassage.request(
            try HeaderPassage.toServer(
                request.headers,
                authorization: model.forwardsAuthorization && context.mayForwardAuthorization(of: request)),
            model.headers
        )
        for name in [HTTPField.Name.contentType, .traceparent] {
            if let value = request.headers[name] { headers.add(name: name.rawName, value: value) }
        }
        let sent = ClientRequest(
            HTTPMethod(rawValue: request.method.rawValue), at: root.address(of: target), headers: headers,
            body: body.isEmpty ? nil : .bytes(ByteBuffer(bytes: body))
        )
        do {
            return try await gateway.unlessLeft(context.connection) { [client] in
                try await client.send(sent, within: Self.timeLimit)
            }
        } catch {
            throw Self.problem(error, model.name)
        }
    }

    /// What a client hears of an exchange that broke before the head of an answer came.
    private static func problem(_ error: any Error, _ model: String) -> any Error {
        switch error {
        case is APIError, is CancellationError: error
        case HTTPClientError.noConnection, HTTPClientError.reset, HTTPClientError.shutDown:
            APIError.connectFailed(model)
        case HTTPClientError.timedOut: APIError.answerTimeout(model, limit: timeLimit)
        case HTTPClientError.closedEarly, HTTPClientError.cutOff:
            APIError.badResponse(model, "closed the connection before its answer was complete")
        case HTTPClientError.headTooLarge: APIError.badResponse(model, "sent a head that is too large")
        case HTTPClientError.notHTTP: APIError.badResponse(model, "sent an answer that is not HTTP")
        default: APIError.badResponse(model, "broke the connection")
        }
    }

    // MARK: And back

    private func response(
        to request: Request, _ answer: ClientAnswer, of model: ModelSettings, _ context: GatewayContext
    ) throws(APIError) -> Response {
        if answer.isRedirect {
            throw .redirected(model.name, answer.status, to: answer.headers.first(name: "location"))
        }
        guard answer.status >= 200 else {
            throw .badResponse(model.name, "answered with status \(answer.status)")
        }
        guard let passed = HeaderPassage.toClient(answer.headers) else {
            throw .badResponse(model.name, "sent header fields of more than \(HeaderPassage.answerLimit) bytes")
        }
        var headers = HTTPFields(passed)
        for name in [HTTPField.Name.contentType, .contentEncoding] {
            for value in answer.headers[name.rawName] { headers.append(HTTPField(name: name, value: value)) }
        }
        let length = answer.headers.first(name: "content-length").flatMap { Int(saturating: $0) }
        if let length, length > Self.answerLimit, request.method != .head {
            throw .answerTooLarge(model.name, limit: Self.answerLimit)
        }
        let status = HTTPResponse.Status(code: answer.status)
        // The answer to a HEAD tells the length of a body that does not come.
        if request.method == .head {
            return Response(status: status, headers: headers, body: .pieces(length: length) {})
        }
        switch answer.body {
        case .whole(let bytes):
            guard bytes.readableBytes <= Self.answerLimit else {
                throw .answerTooLarge(model.name, limit: Self.answerLimit)
            }
            return Response(status: status, headers: headers, body: .bytes(bytes))
        case .parts(let parts):
            let connection = context.connection
            return Response(
                status: status, headers: headers,
                body: .pieces(length: length) { try await pass(parts, to: connection) }
            )
        }
    }

    /// - Throws: what cuts the answer: the connection is closed without its end.
    private func pass(_ parts: BodyParts, to connection: Connection) async throws {
        let deadline = gateway.wheel.call(after: Self.timeLimit, tolerance: .seconds(1)) {
            connection.channel.close(promise: nil)
        }
        defer { gateway.wheel.cancel(deadline) }
        var left = Self.answerLimit
        for try await part in parts {
            left -= part.readableBytes
            guard left >= 0 else { throw HTTPClientError.answerTooLong }
            try await connection.write(part)
        }
        // To a cancelled task the sequence ends as if the body had.
        try Task.checkCancellation()
        connection.endAnswer()
    }
}
