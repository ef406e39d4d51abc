package import InferqCore
package import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// Calls model servers over HTTP. A model server is not to be trusted: every answer is bounded in time and size, and
/// nothing that one does costs another one more than a connection.
package final class ModelServer: Sendable {
    private let wheel: TimerWheel
    private let group: any EventLoopGroup
    private let connections: [ObjectIdentifier: NIOLoopBoundBox<ModelConnections>]
    private let addresses = Mutex<[String: ModelAddress]>([:])
    /// Models that have answered something else than "loading" since the start or the last refused connection.
    private let awake = Mutex<Set<String>>([])

    package init(wheel: TimerWheel, group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton) {
        self.wheel = wheel
        self.group = group
        let trust = Trust()
        connections = Dictionary(
            uniqueKeysWithValues: group.makeIterator().map { loop in
                let connections = ModelConnections(on: loop, trust: trust)
                return (ObjectIdentifier(loop), .makeBoxSendingValue(connections, eventLoop: loop))
            }
        )
    }

    /// Closes the connections that are idle; those in use end with their calls.
    package func shutdown() async throws {
        for connections in connections.values {
            try await connections.eventLoop.submit { connections.value.close() }.get()
        }
    }

    /// One attempt: calls until there is an answer; asks again while the model server says that it is loading.
    ///
    /// Once the attempt's signal says stop, the connection is closed and this returns; the answer means nothing then.
    package func answer(to attempt: Attempt, _ settings: ModelSettings) async -> Reply {
        guard let address = address(settings.url) else {
            return .failed(
                Failure(.connectFailed, "the model's url cannot be read", isRetryable: true), retryAfter: nil)
        }
        let timeout = attempt.timeout ?? settings.timeout
        let readyDeadline = ContinuousClock.now + settings.readyTimeout
        while true {
            let exchange = exchange(attempt, settings, address)
            switch await call(exchange, attempt.stop, settings, address, within: timeout) {
            case .reply(let reply): return reply
            case .loading(let pause):
                let rest = readyDeadline - ContinuousClock.now
                guard rest > .zero, attempt.stop.reason == nil else {
                    let limit = DurationText.format(settings.readyTimeout)
                    return .failed(
                        Failure(
                            .httpError, "the model was still loading after \(limit)", isRetryable: true, status: 503
                        ),
                        retryAfter: pause
                    )
                }
                await wait(min(pause, rest), attempt.stop)
            }
        }
    }

    private func address(_ url: String) -> ModelAddress? {
        addresses.withLock { addresses in
            if let known = addresses[url] { return known }
            let address = ModelAddress(url)
            addresses[url] = address
            return address
        }
    }

    private func wait(_ pause: Duration, _ stop: StopSignal) async {
        let bell = Bell()
        let deadline = wheel.ring(bell, after: pause)
        stop.whenStopped { bell.ring(.stop) }
        _ = await bell.wait()
        stop.whenStopped(nil)
        wheel.cancel(deadline)
    }

    // MARK: One call

    private enum Step: Sendable {
        case reply(Reply)
        case loading(pause: Duration)
    }

    /// One call within its time. The time limit covers everything, the last byte of the answer included.
    private func call(
        _ exchange: ModelExchange,
        _ stop: StopSignal,
        _ settings: ModelSettings,
        _ address: ModelAddress,
        within timeout: Duration
    ) async -> Step {
        let isLate = Atomic(false)
        let deadline = wheel.call(after: timeout) {
            isLate.store(true, ordering: .relaxed)
            exchange.abort()
        }
        stop.whenStopped { exchange.abort() }
        defer {
            stop.whenStopped(nil)
            wheel.cancel(deadline)
        }
        do {
            return try await step(try await exchange.answer { self.send(exchange, to: address) }, settings)
        } catch {
            guard !isLate.load(ordering: .relaxed) else {
                let limit = DurationText.format(timeout)
                return .reply(
                    .failed(
                        Failure(.timeout, "the model server took longer than \(limit)", isRetryable: true),
                        retryAfter: nil)
                )
            }
            return .reply(.failed(failure(of: error, settings), retryAfter: nil))
        }
    }

    /// On the event loop that the caller runs on, if it runs on one.
    private func send(_ exchange: ModelExchange, to address: ModelAddress) {
        let loop = MultiThreadedEventLoopGroup.currentEventLoop ?? group.any()
        guard let connections = connections[ObjectIdentifier(loop)] else {
            return exchange.resume(with: .failure(ModelExchangeError.noConnection("the gateway stops")))
        }
        if loop.inEventLoop { return connections.value.send(exchange, to: address) }
        loop.execute { connections.value.send(exchange, to: address) }
    }

    private func exchange(_ attempt: Attempt, _ settings: ModelSettings, _ address: ModelAddress) -> ModelExchange {
        var headers = HTTPHeaders()
        headers.reserveCapacity(12 + settings.headers.count)
        if !settings.headers.contains(where: { $0.name.lowercased() == "host" }) {
            headers.add(name: "Host", value: address.authority)
        }
        headers.add(name: "Content-Length", value: String(attempt.body.count))
        for header in settings.headers { headers.add(name: header.name, value: header.value) }
        // What is encoded could not be shown, and no layers could be found in it.
        if !settings.headers.contains(where: { $0.name.lowercased() == "accept-encoding" }) {
            headers.add(name: "Accept-Encoding", value: "identity")
        }
        if let type = attempt.contentType { headers.add(name: "Content-Type", value: type) }
        headers.add(name: "X-Inference-Id", value: attempt.job.description)
        headers.add(name: "X-Event-Id", value: attempt.eventID.description)
        headers.add(name: "X-Attempt", value: String(attempt.number))
        headers.add(name: "X-Notify-Url", value: attempt.gatewayURL + "/v1/notifications")
        headers.add(name: "X-Notify-Token", value: attempt.token)
        if let traceparent = attempt.traceparent { headers.add(name: "traceparent", value: traceparent) }
        headers.add(name: "Idempotency-Key", value: attempt.job.description)
        return ModelExchange(
            head: HTTPRequestHead(version: .http1_1, method: .POST, uri: address.target, headers: headers),
            body: ByteBuffer(bytes: attempt.body)
        )
    }

    // MARK: Answers

    private func step(_ answer: ModelAnswer, _ settings: ModelSettings) async throws -> Step {
        let status = answer.status
        let retryAfter = RetryAfter.duration(answer.headers.first(name: "retry-after"), now: .now)
        if status == 503, let retryAfter, !awake.withLock({ $0.contains(settings.name) }) {
            // Read to its end, so that the connection can be used again.
            _ = try await Self.beginning(of: answer, limit: 4096)
            return .loading(pause: min(max(retryAfter, .milliseconds(100)), RetryPolicy.longestRetryAfter))
        }
        _ = awake.withLock { $0.insert(settings.name) }
        guard (200..<300).contains(status) else {
            let body = try await Self.beginning(of: answer, limit: 4096)
            let failure = Failure(
                .httpError,
                "the model server answered with status \(status)\(Self.target(of: answer))",
                isRetryable: status == 408 || status == 425 || status == 429 || status >= 500,
                status: status,
                body: body
            )
            return .reply(.failed(failure, retryAfter: failure.isRetryable ? retryAfter : nil))
        }
        return .reply(try await AnswerReader.read(answer, limit: settings.maxAnswer))
    }

    /// Where a redirect leads, which is not followed; empty for any other answer.
    private static func target(of answer: ModelAnswer) -> String {
        guard (300..<400).contains(answer.status), let target = answer.headers.first(name: "location") else {
            return ""
        }
        return ", a redirect to \(target.clipped), which is not followed; set the model's url to where it leads"
    }

    /// The first bytes of an answer as text.
    private static func beginning(of answer: ModelAnswer, limit: Int) async throws -> String {
        var bytes: [UInt8] = []
        try await answer.read { piece in
            bytes.append(contentsOf: piece.readableBytesView.prefix(limit - bytes.count))
            return bytes.count < limit
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private func failure(of error: any Error, _ settings: ModelSettings) -> Failure {
        switch error {
        case ModelExchangeError.noConnection(let reason):
            _ = awake.withLock { $0.remove(settings.name) }
            return Failure(.connectFailed, "no connection to the model server: \(reason)", isRetryable: true)
        case ModelExchangeError.closedEarly, HTTPParserError.invalidEOFState:
            return Failure(
                .badResponse, "the model server closed the connection before its answer was complete", isRetryable: true
            )
        case HTTPParserError.headerOverflow:
            return Failure(.badResponse, "the head of the model server's answer is too large", isRetryable: true)
        case is HTTPParserError:
            return Failure(.badResponse, "the model server's answer is not HTTP", isRetryable: true)
        default:
            return Failure(
                .badResponse, "the exchange with the model server broke: \(Self.brief(error))", isRetryable: true)
        }
    }

    private static func brief(_ error: any Error) -> String {
        if let error = error as? IOError { return "errno \(error.errnoCode)" }
        return "\(type(of: error))"
    }
}
