package import InferqCore
package import InferqQueue
import InferqStore
package import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization

/// Calls model servers over HTTP. A model server is not to be trusted: every answer is bounded in time and size, and
/// nothing that one does costs another one more than a connection.
package final class ModelServer: Sendable {
    private let wheel: TimerWheel
    private let group: any EventLoopGroup
    private let stream: @Sendable () -> StreamSettings
    private let client: HTTPClient
    private let addresses = Mutex<[Place: HTTPAddress]>([:])

    /// What an address is made of.
    private struct Place: Hashable {
        let url: String
        let ca: String
    }

    package init(
        wheel: TimerWheel,
        stream: @escaping @Sendable () -> StreamSettings = { StreamSettings() },
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
    ) {
        self.wheel = wheel
        self.group = group
        self.stream = stream
        client = HTTPClient(ClientLimits(), group: group)
    }

    /// Closes the connections that are idle; those in use end with their calls.
    package func shutdown() async throws {
        try await client.shutdown()
    }

    /// One attempt.
    ///
    /// Once the attempt's signal says stop, the connection is closed and this returns; the answer means nothing then.
    package func answer(to attempt: Attempt, _ settings: ModelSettings) async -> Reply {
        guard let address = address(settings) else { return .refused(Self.unreadableURL) }
        switch attempt.body {
        case .bytes(let bytes):
            return await call(
                attempt, exchange(attempt, settings, address, .whole(ByteBuffer(bytes: bytes))), settings, address)
        case .file(let file):
            let (writers, continuation) = AsyncStream<BodyWriter>.makeStream()
            let exchange = exchange(attempt, settings, address, .stream(continuation))
            // A server that has answered need not take the rest of the body: this is cancelled then.
            async let _ = HTTPClient.stream(
                { write in try await file.forEachPiece { try await write(ByteBuffer(bytes: $0)) } },
                Int64(file.byteCount), of: exchange, to: writers
            )
            let reply = await call(attempt, exchange, settings, address)
            return reply
        }
    }

    /// Makes a connection to a model server that was away.
    ///
    /// - Parameter keeps: whether it is kept for the next call on this event loop, or closed.
    /// - Returns: why none could be made; nil: one could.
    package func reach(_ settings: ModelSettings, keeps: Bool = true) async -> Refusal? {
        guard let address = address(settings) else { return Self.unreadableURL }
        let problem = await client.reach(address, in: settings.name, keeps: keeps)
        guard case HTTPClientError.noConnection(let reason)? = problem else { return nil }
        return Self.unreachable(reason)
    }

    private static let unreadableURL = Refusal(
        .unreachable, Failure(.connectFailed, "the model's url cannot be parsed", isRetryable: true)
    )

    private static func unreachable(_ reason: any Error) -> Refusal {
        let why =
            switch reason {
            case ChannelError.connectTimeout: "it did not answer in time"
            case let error as NIOConnectionError where error.connectionErrors.isEmpty: "its name does not resolve"
            case NIOSSLError.handshakeFailed where "\(reason)".contains("CERTIFICATE_VERIFY_FAILED"):
                "its TLS certificate is not signed by a CA that is trusted here, or has expired"
            case NIOSSLError.handshakeFailed: "its TLS handshake failed"
            case is NIOSSLExtraError: "its TLS certificate is for another name"
            case HTTPClientError.shutDown: "the gateway is stopping"
            case HTTPClientError.unreadableCA(""): "the certificates of this host cannot be read"
            case HTTPClientError.unreadableCA: "the file in its setting ca cannot be read, or holds no certificate"
            default: "refused or unreachable"
            }
        return Refusal(
            .unreachable, Failure(.connectFailed, "no connection to the model server: \(why)", isRetryable: true)
        )
    }

    private func address(_ settings: ModelSettings) -> HTTPAddress? {
        let place = Place(url: settings.url, ca: settings.ca)
        return addresses.withLock { addresses in
            if let known = addresses[place] { return known }
            let address = HTTPAddress(place.url, ca: place.ca)
            addresses[place] = address
            return address
        }
    }

    // MARK: One call

    /// One call within its time. The time limit covers everything, the last byte of the answer included.
    private func call(
        _ attempt: Attempt,
        _ exchange: ClientExchange,
        _ settings: ModelSettings,
        _ address: HTTPAddress
    ) async -> Reply {
        let limits = CallLimits(attempt, settings, exchange, wheel: wheel)
        let stop = attempt.stop
        limits.begin()
        stop.whenStopped { exchange.abort() }
        defer {
            stop.whenStopped(nil)
            limits.end()
        }
        do {
            let answer = try await exchange.answer { client.start(exchange, in: settings.name, at: address) }
            if case .parts = answer.body { limits.answerBegan() }
            guard (200..<300).contains(answer.status) else {
                return try await reply(answer, settings, limits, isCall: attempt.call != nil)
            }
            return try await success(answer, attempt, settings, limits)
        } catch {
            return reply(to: error, limits)
        }
    }

    private func exchange(
        _ attempt: Attempt, _ settings: ModelSettings, _ address: HTTPAddress, _ body: ClientExchange.Body
    ) -> ClientExchange {
        ClientExchange(
            head: AttemptRequest(attempt: attempt, settings: settings, address: address).head,
            body: body,
            // It carries a key. What is read from a file is sent once, on a new connection.
            isIdempotent: body.isWhole,
            sent: attempt.sent
        )
    }

    // MARK: Answers

    /// An answer of 2xx, which may come piece by piece, and is no success by that alone.
    private func success(
        _ answer: ClientAnswer, _ attempt: Attempt, _ settings: ModelSettings, _ limits: CallLimits
    ) async throws -> Reply {
        guard let head = StreamHead(answer, keepsFields: attempt.call != nil) else { return AnswerReader.headTooLarge }
        let path = attempt.call?.path ?? settings.dialect.nativePath(settings.name)
        let form = StreamForm(settings.dialect, path: path, head)
        let judge = StreamJudge(form)
        guard let sink = attempt.pieces, form.isStream || StreamForm.comesBitByBit(answer) else {
            let body = await AnswerReader.body(answer, limit: settings.maxAnswer, limits)
            return judge.reply(body) { reply(to: $0, limits) }
        }
        let stream = AnswerStream(
            form, sink: sink, flush: self.stream().flush, limit: settings.maxAnswer, limits: limits,
            loop: MultiThreadedEventLoopGroup.currentEventLoop ?? group.any()
        )
        return judge.reply(await stream.read(answer)) { reply(to: $0, limits) }
    }

    private func reply(
        _ answer: ClientAnswer, _ settings: ModelSettings, _ limits: CallLimits, isCall: Bool
    ) async throws -> Reply {
        let status = answer.status
        if isCall, status < 200 {
            let failure = broken("the model server answered with status \(status), which is not an answer")
            return .failed(failure, retryAfter: nil)
        }
        // A date is meant by the clock of the server that names it.
        let retryAfter = RetryAfter.duration(
            answer.headers.first(name: "retry-after"),
            now: answer.headers.first(name: "date").flatMap { HTTPDate.moment($0, now: .now) } ?? .now
        )
        var kept: Reply.Answer?
        var note = Self.target(of: answer)
        let body: String
        if isCall, !answer.isRedirect {
            let head = StreamHead(answer, keepsFields: true)
            let whole = await AnswerReader.body(answer, limit: settings.maxAnswer, limits)
            switch whole.problem {
            case nil: kept = head.map { Reply.Answer(whole.bytes, $0) }
            case is AnswerStream.TooLarge?: note += "; its body is larger than \(settings.maxAnswer) bytes"
            case let problem?: throw problem
            }
            if head == nil { note += "; its head is too large" }
            body = String(decoding: kept?.bytes.prefix(Self.shownLimit) ?? [], as: UTF8.self)
        } else {
            body = try await Self.beginning(of: answer, limit: Self.shownLimit)
        }
        let failure = Failure(
            .httpError,
            "the model server answered with status \(status)\(note)",
            isRetryable: status == 408 || status == 425 || status == 429 || status >= 500,
            status: status,
            body: body
        )
        if status == 503, answer.headers.contains(name: "retry-after") || Self.saysLoading(body) {
            return .refused(Refusal(.loading, failure, retryAfter: retryAfter))
        }
        return .failed(failure, retryAfter: failure.isRetryable ? retryAfter : nil, answer: kept)
    }

    /// Bytes of an error's answer that stand in the record.
    private static let shownLimit = 4096

    /// What llama.cpp answers with 503 while it loads a model, in place of `Retry-After`.
    private static func saysLoading(_ body: String) -> Bool {
        body.contains("unavailable_error") || body.contains("Loading model")
    }

    /// Where a redirect leads, which is not followed; empty for any other answer.
    private static func target(of answer: ClientAnswer) -> String {
        guard (300..<400).contains(answer.status), let target = answer.headers.first(name: "location") else {
            return ""
        }
        return ", a redirect to \(target.clipped), which is not followed; set the model's url to where it leads"
    }

    /// The first bytes of an answer as text.
    private static func beginning(of answer: ClientAnswer, limit: Int) async throws -> String {
        var bytes: [UInt8] = []
        try await answer.read { piece in
            bytes.append(contentsOf: piece.readableBytesView.prefix(limit - bytes.count))
            return bytes.count < limit
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private func reply(to error: any Error, _ limits: CallLimits) -> Reply {
        switch error {
        case HTTPClientError.timedOut: return .failed(limits.failure, retryAfter: nil)
        case is AnswerStream.TooLarge: return AnswerReader.tooLarge(limits.byteLimit)
        case HTTPClientError.noConnection(let reason): return .refused(Self.unreachable(reason))
        case let error as StoreError:
            return .failed(broken("the stored input cannot be read: \(error)"), retryAfter: nil)
        case let error as AnswerStream.NotStored:
            return .failed(broken("the answer could not be stored: \(error.reason)"), retryAfter: nil)
        case HTTPClientError.shutDown: return .refused(Self.unreachable(error))
        case HTTPClientError.reset:
            return .refused(
                Refusal(.reset, broken("the model server reset the connection before it answered"))
            )
        case HTTPClientError.closedEarly, HTTPClientError.cutOff:
            return .failed(
                broken("the model server closed the connection before its answer was complete"), retryAfter: nil
            )
        case HTTPClientError.headTooLarge: return AnswerReader.headTooLarge
        case HTTPClientError.notHTTP:
            return .failed(broken("the model server's answer is not HTTP"), retryAfter: nil)
        default:
            return .failed(broken("the exchange with the model server failed: \(Self.brief(error))"), retryAfter: nil)
        }
    }

    private func broken(_ message: String) -> Failure {
        Failure(.badResponse, message, isRetryable: true)
    }

    private static func brief(_ error: any Error) -> String {
        if let error = error as? IOError { return "errno \(error.errnoCode)" }
        return "\(type(of: error))"
    }
}
