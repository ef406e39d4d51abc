import InferqHTTP
import NIOCore
import NIOHTTP1

/// Speaks HTTP with one gateway. Answers that are errors, and connections that fail, are thrown as ``ClientError``.
struct GatewayClient: Sendable {
    /// An answer that is no error, whose body is still to be read.
    struct Answer: Sendable {
        fileprivate let answer: ClientAnswer

        var status: Int { answer.status }
        var headers: HTTPHeaders { answer.headers }
        /// Empty if the answer names none.
        var contentType: String { headers.first(name: "Content-Type") ?? "" }
    }

    let address: GatewayAddress
    private let http: HTTPClient

    /// Runs `body` with a client of the first address at which something answers; a single one is not asked first.
    ///
    /// - Parameter silence: how long an answer may stand still.
    static func withClient<Result>(
        of candidates: [GatewayAddress],
        // A stream that is silent for longer than six heartbeats has lost its connection without a word.
        silence: Duration = .seconds(90),
        _ body: (GatewayClient) async throws -> Result
    ) async throws -> Result {
        try await HTTPClient.withClient(silence: silence) { http in
            try await body(find(candidates, http))
        }
    }

    private static func find(_ candidates: [GatewayAddress], _ http: HTTPClient) async throws -> GatewayClient {
        if candidates.count == 1 { return GatewayClient(address: candidates[0], http: http) }
        var tried: [String] = []
        for address in candidates {
            let client = GatewayClient(address: address, http: http)
            do {
                _ = try await client.send(.GET, "/livez", headers: [:], body: nil, within: .seconds(5))
                return client
            } catch let error where !(error is CancellationError) {
                tried.append("\(address) (\(ConnectionFailure(error).reason))")
            }
        }
        throw ClientError(.unreachable, ConnectionFailure.sentence(tried: tried))
    }

    func get(_ path: String, headers: HTTPHeaders = [:]) async throws -> Answer {
        try await request(.GET, path, headers: headers, body: nil)
    }

    func post(_ path: String, headers: HTTPHeaders = [:], body: ClientRequest.Body? = nil) async throws -> Answer {
        try await request(.POST, path, headers: headers, body: body)
    }

    func delete(_ path: String) async throws -> Answer {
        try await request(.DELETE, path, headers: [:], body: nil)
    }

    /// Gives the answer's body to `hear`, chunk by chunk, until it ends or `hear` has heard enough.
    ///
    /// - Parameter hear: Returns whether it wants more.
    func read(_ answer: Answer, _ hear: ([UInt8]) throws -> Bool) async throws {
        try await naming(address) {
            try await answer.answer.read { try hear(Array($0.readableBytesView)) }
        }
    }

    /// The whole body of an answer.
    ///
    /// - Parameter limit: In bytes; a longer body is an error.
    func bytes(of answer: Answer, limit: Int = 64 << 20) async throws -> [UInt8] {
        var bytes: [UInt8] = []
        try await read(answer) { chunk in
            guard bytes.count + chunk.count <= limit else {
                let size = Amount.bytes(limit)
                let sentence = "what answers at \(address) sends more than \(size), as no gateway does"
                throw ClientError(.unreadable, sentence + "; name another with --url")
            }
            bytes.append(contentsOf: chunk)
            return true
        }
        return bytes
    }

    private func request(
        _ method: HTTPMethod,
        _ path: String,
        headers: HTTPHeaders,
        body: ClientRequest.Body?
    ) async throws -> Answer {
        let answer = try await naming(address) {
            try await send(method, path, headers: headers, body: body)
        }
        guard answer.status < 300 || answer.status == 304 else { throw await problem(answer) }
        return answer
    }

    private func send(
        _ method: HTTPMethod,
        _ path: String,
        headers: HTTPHeaders,
        body: ClientRequest.Body?,
        within limit: Duration? = nil
    ) async throws -> Answer {
        var request = ClientRequest(method, address.url(path), headers: headers, body: body)
        request.headers.replaceOrAdd(name: "Host", value: address.host)
        request.headers.replaceOrAdd(name: "User-Agent", value: "inferq")
        return Answer(answer: try await http.send(request, within: limit))
    }

    /// The gateway's own sentence if it gave one; a proxy between may answer anything.
    private func problem(_ answer: Answer) async -> ClientError {
        let seconds = answer.headers.first(name: "Retry-After").flatMap { Int($0) }
        let retryAfter = seconds.flatMap { (0...86_400).contains($0) ? Duration.seconds($0) : nil }
        let cause = ClientError.Cause.refused(status: answer.status, retryAfter: retryAfter)
        // A body that breaks off or is not a problem document leaves the status, which says enough.
        if let bytes = try? await bytes(of: answer, limit: 64 << 10), let sentence = ProblemDocument.sentence(bytes) {
            return ClientError(cause, sentence)
        }
        let phrase = HTTPResponseStatus(statusCode: answer.status).reasonPhrase
        let sentence = "the gateway at \(address) answered \(answer.status) \(phrase)"
        guard (300..<400).contains(answer.status), let target = answer.headers.first(name: "Location") else {
            return ClientError(cause, sentence)
        }
        return ClientError(cause, sentence + " to \(target.quoted(limit: 400)); name the gateway itself with --url")
    }
}

/// Runs `body` and turns what it throws into a ``ClientError`` that names the gateway.
private func naming<Result>(_ address: GatewayAddress, _ body: () async throws -> Result) async throws -> Result {
    do {
        return try await body()
    } catch let error as ClientError {
        throw error
    } catch let error as CancellationError {
        throw error
    } catch {
        throw ConnectionFailure(error).error(at: address)
    }
}
