import InferqCore
import InferqHTTP
import NIOCore
import NIOHTTP1

/// Speaks HTTP with one gateway. Answers that are errors, and connections that fail, are thrown as ``ClientError``.
struct GatewayClient: Sendable {
    /// An answer that is not an error, whose body is still to be read.
    struct Answer: Sendable {
        fileprivate let answer: ClientAnswer

        var status: Int { answer.status }
        var headers: HTTPHeaders { answer.headers }
        /// Empty if the answer names none.
        var contentType: String { headers.first(name: "Content-Type") ?? "" }
    }

    /// What is shown to a gateway, and who is believed to be one.
    struct Credentials: Sendable {
        /// Shown with each request over the network: on a Unix socket the socket decides.
        var key: AccessKey?
        /// A PEM file of who has signed the certificate of an `https` gateway; empty: this host decides.
        var ca = ""
    }

    let address: GatewayAddress
    private let credentials: Credentials
    private let http: HTTPClient

    /// Runs `body` with a client of the first address at which something answers; a single one is not asked first.
    ///
    /// - Parameter silence: how long an answer may stand still.
    static func withClient<Result>(
        of candidates: [GatewayAddress],
        _ credentials: Credentials,
        // A stream that is silent for longer than six heartbeats has lost its connection without a word.
        silence: Duration = .seconds(90),
        _ body: (GatewayClient) async throws -> Result
    ) async throws -> Result {
        try await HTTPClient.withClient(silence: silence) { http in
            try await body(find(candidates, credentials, http))
        }
    }

    private static func find(
        _ candidates: [GatewayAddress],
        _ credentials: Credentials,
        _ http: HTTPClient
    ) async throws -> GatewayClient {
        if candidates.count == 1 {
            return GatewayClient(address: candidates[0], credentials: credentials, http: http)
        }
        var tried: [String] = []
        for address in candidates {
            let client = GatewayClient(address: address, credentials: credentials, http: http)
            do {
                // Without the key: no one knows yet who answers there.
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

    func head(_ path: String) async throws -> Answer {
        try await request(.HEAD, path, headers: [:], body: nil)
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
    func read(_ answer: Answer, _ hear: ([UInt8]) async throws -> Bool) async throws {
        try await naming(address) {
            try await answer.answer.forEachPart { try await hear(Array($0.readableBytesView)) }
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
                let sentence = "what answers at \(address) sends more than \(size), which no gateway does"
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
        var headers = headers
        if let key = credentials.key, case .web = address {
            headers.replaceOrAdd(name: "Authorization", value: "Bearer \(key.text)")
        }
        let answer = try await naming(address) { [headers] in
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
        request.ca = credentials.ca
        request.headers.replaceOrAdd(name: "Host", value: address.host)
        request.headers.replaceOrAdd(name: "User-Agent", value: "inferq")
        return Answer(answer: try await http.send(request, within: limit))
    }

    /// Why the gateway does not let this client in.
    private var keyProblem: String {
        guard credentials.key != nil else {
            let advice = "put it in INFERQ_KEY, name its file in INFERQ_KEY_FILE, or use the Unix socket"
            return "the gateway at \(address) asks for a key; \(advice)"
        }
        return
            "the gateway at \(address) does not accept this key: it is unknown, was revoked or has expired; ask for another one"
    }

    /// The gateway's own sentence if it gave one; a proxy between may answer anything.
    private func problem(_ answer: Answer) async -> ClientError {
        let seconds = answer.headers.first(name: "Retry-After").flatMap { Int($0) }
        let retryAfter = seconds.flatMap { (0...86_400).contains($0) ? Duration.seconds($0) : nil }
        let cause = ClientError.Cause.refused(status: answer.status, retryAfter: retryAfter)
        if answer.status == 401, answer.headers.first(name: "WWW-Authenticate")?.hasPrefix("Bearer") == true {
            return ClientError(cause, keyProblem)
        }
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
