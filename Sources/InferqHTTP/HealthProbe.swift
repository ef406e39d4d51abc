import AsyncHTTPClient
package import InferqCore
package import Logging
import NIOCore
import NIOHTTP1
import ServiceLifecycle

/// Asks model servers whether they are well: a GET of each configured `health` path, every 10 s.
///
/// The answers are for people: they decide the `state` that is shown, and not whether a job is tried. A model server
/// whose health path is wrong or slow goes on getting its jobs, and one that is gone fails them with a retry, as
/// without a probe.
package struct HealthProbe: Service {
    private let queue: JobQueue
    private let wheel: TimerWheel
    private let logger: Logger

    private static let interval: Duration = .seconds(10)
    /// Half the interval: one round has ended before the next begins, so no model has two probes at a time.
    private static let timeout: Duration = .seconds(5)
    /// Bytes of an answer that are read, so that the connection can be used again; a longer one is dropped.
    private static let answerLimit = 64 << 10

    package init(queue: JobQueue, wheel: TimerWheel, logger: Logger) {
        self.queue = queue
        self.wheel = wheel
        self.logger = logger
    }

    package func run() async throws {
        var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow, decompression: .disabled)
        configuration.httpVersion = .http1Only
        configuration.timeout.connect = .seconds(5)
        configuration.connectionPool.retryConnectionEstablishment = false
        // Its own: probes never wait for calls, nor calls for probes.
        let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                let begin = ContinuousClock.now
                await probeAll(client)
                await pause(Self.interval - (ContinuousClock.now - begin))
            }
        }
        try await client.shutdown()
    }

    private func probeAll(_ client: HTTPClient) async {
        await withDiscardingTaskGroup { group in
            for model in queue.models {
                guard !model.health.isEmpty else {
                    queue.health.forgetProbe(of: model.name)
                    continue
                }
                group.addTask { note(await problem(with: model, client), of: model) }
            }
        }
    }

    private func note(_ problem: String?, of model: ModelSettings) {
        guard !Task.isCancelled else { return }
        // A reload may have taken the path away meanwhile.
        guard queue.model(model.name)?.health == model.health else { return }
        switch queue.health.note(probe: problem, of: model.name) {
        case .wentDown:
            logger.warning(
                "model server is down by its health path",
                metadata: ["model": "\(model.name)", "reason": "\(problem ?? "")"]
            )
        case .cameUp: logger.notice("model server is up again", metadata: ["model": "\(model.name)"])
        case nil: break
        }
    }

    /// What is wrong with a model server; nil: nothing.
    private func problem(with model: ModelSettings, _ client: HTTPClient) async -> String? {
        let bell = Bell()
        let deadline = wheel.ring(bell, after: Self.timeout)
        defer { wheel.cancel(deadline) }
        return await withTaskGroup(of: String?.self) { group in
            group.addTask { await ask(model, client) }
            group.addTask {
                _ = await bell.wait()
                return "its health path did not answer within \(DurationText.format(Self.timeout))"
            }
            let first = await group.next() ?? nil
            group.cancelAll()
            return first
        }
    }

    private func ask(_ model: ModelSettings, _ client: HTTPClient) async -> String? {
        var request = HTTPClientRequest(url: Self.address(of: model.url, path: model.health))
        for header in model.headers { request.headers.add(name: header.name, value: header.value) }
        do {
            let response = try await client.execute(request, deadline: .distantFuture, logger: nil)
            var byteCount = 0
            for try await chunk in response.body {
                byteCount += chunk.readableBytes
                if byteCount > Self.answerLimit { break }
            }
            let status = Int(response.status.code)
            return (200..<300).contains(status) ? nil : "its health path answers with status \(status)"
        } catch {
            return "its health path cannot be reached"
        }
    }

    /// The path on the server that `url` names: `http://host:1/predict?x` and `/health` give `http://host:1/health`.
    static func address(of url: String, path: String) -> String {
        guard let scheme = url.firstRange(of: "://") else { return url }
        let end = url[scheme.upperBound...].firstIndex { "/?#".contains($0) } ?? url.endIndex
        return url[..<end] + path
    }

    private func pause(_ duration: Duration) async {
        guard duration > .zero, !Task.isCancelled else { return }
        let bell = Bell()
        let deadline = wheel.ring(bell, after: duration, tolerance: .seconds(1))
        _ = await bell.wait()
        wheel.cancel(deadline)
    }
}
