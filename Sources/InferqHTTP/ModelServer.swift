import AsyncHTTPClient
import Crypto
package import InferqCore
package import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// Calls model servers over HTTP. A model server is not to be trusted: every answer is bounded in time and size, and
/// nothing that one does costs another one more than a connection.
package final class ModelServer: Sendable {
    private let client: HTTPClient
    private let store: JobStore
    private let wheel: TimerWheel
    private let publicURL: @Sendable () -> String
    private let logger: Logger
    /// Models that have answered something else than "loading" since the start or the last refused connection.
    private let awake = Mutex<Set<String>>([])

    /// - Parameter publicURL: how model servers reach the gateway; asked at each call, since it may not be known before
    ///   the listeners are.
    package init(
        store: JobStore,
        wheel: TimerWheel,
        publicURL: @escaping @Sendable () -> String,
        logger: Logger
    ) {
        self.store = store
        self.wheel = wheel
        self.publicURL = publicURL
        self.logger = logger
        var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow, decompression: .disabled)
        configuration.httpVersion = .http1Only
        configuration.timeout.connect = .seconds(10)
        // The slots bound the calls; the pool must not.
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 8192
        // Under the five seconds after which common model servers (uvicorn) close an idle connection themselves:
        // a call on a connection that is just being closed fails.
        configuration.connectionPool.idleTimeout = .seconds(4)
        // A refused connection is the attempt's outcome and not the client's to hide.
        configuration.connectionPool.retryConnectionEstablishment = false
        client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }

    package func shutdown() async throws {
        try await client.shutdown()
    }

    /// One attempt: calls until there is an outcome; asks again while the model server says that it is loading.
    ///
    /// - Throws: only `CancellationError`, after the connection was closed.
    package func attempt(_ claim: Claim, _ settings: ModelSettings) async throws -> Outcome {
        let input: [UInt8]
        do {
            input = try await store.bytes(of: claim.job.input) ?? []
        } catch {
            logger.error(
                "the input of a job cannot be read", metadata: ["job_id": "\(claim.job.id)", "error": "\(error)"])
            return .failed(Failure(.badResponse, "the stored input cannot be read", isRetryable: true), retryAfter: nil)
        }
        let timeout = claim.job.options.timeout ?? settings.timeout
        let readyDeadline = ContinuousClock.now + settings.readyTimeout
        while true {
            switch try await call(claim, settings, input, within: timeout) {
            case .outcome(let outcome): return outcome
            case .loading(let pause):
                let rest = readyDeadline - ContinuousClock.now
                guard rest > .zero else {
                    let limit = DurationText.format(settings.readyTimeout)
                    return .failed(
                        Failure(
                            .httpError, "the model was still loading after \(limit)", isRetryable: true, status: 503
                        ),
                        retryAfter: pause
                    )
                }
                try await wait(min(pause, rest))
            }
        }
    }

    private func wait(_ pause: Duration) async throws {
        let bell = Bell()
        let deadline = wheel.ring(bell, after: pause)
        _ = await bell.wait()
        wheel.cancel(deadline)
        try Task.checkCancellation()
    }

    // MARK: One call

    private enum Step: Sendable {
        case outcome(Outcome)
        case loading(pause: Duration)
    }

    /// One call within its time. The time limit covers everything, the last byte of the answer included.
    private func call(
        _ claim: Claim,
        _ settings: ModelSettings,
        _ input: [UInt8],
        within timeout: Duration
    ) async throws -> Step {
        let bell = Bell()
        let deadline = wheel.ring(bell, after: timeout)
        defer { wheel.cancel(deadline) }
        let step = await withTaskGroup(of: Step?.self) { group in
            group.addTask { await self.exchange(claim, settings, input) }
            group.addTask {
                guard await bell.wait().contains(.deadline) else { return nil }
                let limit = DurationText.format(timeout)
                return .outcome(
                    .failed(
                        Failure(.timeout, "the model server took longer than \(limit)", isRetryable: true),
                        retryAfter: nil)
                )
            }
            let first = await group.next() ?? nil
            group.cancelAll()
            return first
        }
        try Task.checkCancellation()
        guard let step else { throw CancellationError() }
        return step
    }

    /// Nil when it was cancelled.
    private func exchange(_ claim: Claim, _ settings: ModelSettings, _ input: [UInt8]) async -> Step? {
        do {
            let response = try await client.execute(
                request(claim, settings, input), deadline: .distantFuture, logger: nil
            )
            return try await step(response, settings)
        } catch is CancellationError {
            return nil
        } catch let error as StoreError {
            logger.error("an answer could not be stored", metadata: ["job_id": "\(claim.job.id)", "error": "\(error)"])
            return .outcome(
                .failed(
                    Failure(.badResponse, "the answer could not be stored: \(error)", isRetryable: true),
                    retryAfter: nil)
            )
        } catch {
            guard !Task.isCancelled else { return nil }
            return .outcome(.failed(failure(of: error, settings), retryAfter: nil))
        }
    }

    private func request(_ claim: Claim, _ settings: ModelSettings, _ input: [UInt8]) -> HTTPClientRequest {
        let job = claim.job
        var request = HTTPClientRequest(url: settings.url)
        request.method = .POST
        for header in settings.headers { request.headers.add(name: header.name, value: header.value) }
        if let type = job.input.contentType { request.headers.add(name: "Content-Type", value: type) }
        request.headers.add(name: "X-Inference-Id", value: job.id.description)
        request.headers.add(name: "X-Event-Id", value: job.eventID.description)
        request.headers.add(name: "X-Attempt", value: String(job.attempt))
        request.headers.add(name: "X-Notify-Url", value: publicURL() + "/v1/notifications")
        request.headers.add(name: "X-Notify-Token", value: NotifyToken(job.key, claim.lease).text(store.secret))
        if let traceparent = job.options.traceparent { request.headers.add(name: "traceparent", value: traceparent) }
        request.headers.add(name: "Idempotency-Key", value: job.id.description)
        request.body = .bytes(ByteBuffer(bytes: input))
        return request
    }

    // MARK: Answers

    private func step(_ response: HTTPClientResponse, _ settings: ModelSettings) async throws -> Step {
        let status = Int(response.status.code)
        let retryAfter = RetryAfter.duration(response.headers.first(name: "retry-after"), now: .now)
        if status == 503, let retryAfter, !awake.withLock({ $0.contains(settings.name) }) {
            // Read to its end, so that the connection can be used again.
            _ = try await Self.beginning(of: response, limit: 4096)
            return .loading(pause: min(max(retryAfter, .milliseconds(100)), RetryPolicy.longestRetryAfter))
        }
        _ = awake.withLock { $0.insert(settings.name) }
        guard (200..<300).contains(status) else {
            let body = try await Self.beginning(of: response, limit: 4096)
            let failure = Failure(
                .httpError,
                "the model server answered with status \(status)",
                isRetryable: status == 408 || status == 425 || status == 429 || status >= 500,
                status: status,
                body: body
            )
            return .outcome(.failed(failure, retryAfter: failure.isRetryable ? retryAfter : nil))
        }
        let answer = AnswerReader(store: store, limit: settings.maxAnswer, layers: settings.layers)
        return .outcome(try await answer.read(response))
    }

    /// The first bytes of an answer as text.
    private static func beginning(of response: HTTPClientResponse, limit: Int) async throws -> String {
        var bytes: [UInt8] = []
        for try await chunk in response.body {
            bytes.append(contentsOf: chunk.readableBytesView.prefix(limit - bytes.count))
            if bytes.count >= limit { break }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private func failure(of error: any Error, _ settings: ModelSettings) -> Failure {
        func noConnection(_ reason: String) -> Failure {
            _ = awake.withLock { $0.remove(settings.name) }
            return Failure(.connectFailed, "no connection to the model server: \(reason)", isRetryable: true)
        }
        switch error {
        case let error as HTTPClientError where error == .connectTimeout:
            return noConnection("it did not answer in time")
        case let error as NIOConnectionError:
            return noConnection(error.connectionErrors.isEmpty ? "its name does not resolve" : "refused or unreachable")
        case let error as IOError
        where [ECONNREFUSED, ENOENT, EACCES, EHOSTUNREACH, ENETUNREACH].contains(error.errnoCode):
            return noConnection("refused or unreachable")
        case let error as HTTPClientError where error == .remoteConnectionClosed:
            return Failure(
                .badResponse, "the model server closed the connection before its answer was complete", isRetryable: true
            )
        case is HTTPParserError:
            return Failure(.badResponse, "the model server's answer is not HTTP", isRetryable: true)
        default:
            return Failure(
                .badResponse, "the exchange with the model server broke: \(Self.brief(error))", isRetryable: true)
        }
    }

    private static func brief(_ error: any Error) -> String {
        if let error = error as? HTTPClientError { return error.shortDescription }
        if let error = error as? IOError { return "errno \(error.errnoCode)" }
        return "\(type(of: error))"
    }
}
