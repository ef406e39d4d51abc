package import InferqCore
package import InferqQueue
import NIOCore
import NIOHTTP1
import ServiceLifecycle

/// Looks at model servers in time: asks each configured `health` path, which decides whether jobs are taken, and lets
/// the line of a model that is away probe when its moment has come.
///
/// When is the business of ``Availability``: every 10 s while all is well, and soon after a refusal. With nothing to look
/// at it sleeps, without a timer.
package struct HealthProbe: Service {
    private let watch: any ServerWatch
    private let wheel: TimerWheel
    private let server: ModelServer

    /// A server that takes longer counts as away.
    private static let timeout: Duration = .seconds(5)
    /// Between two looks that nothing has asked for.
    private static let shortestPause: Duration = .milliseconds(50)
    /// Bytes of an answer that are read, so that the connection can be used again; a longer one is dropped.
    private static let answerLimit = 64 << 10

    package init(_ watch: any ServerWatch, wheel: TimerWheel, server: ModelServer) {
        self.watch = watch
        self.wheel = wheel
        self.server = server
    }

    package func run() async throws {
        // Its own: probes never wait for calls, nor calls for probes.
        let client = HTTPClient()
        await cancelWhenGracefulShutdown {
            await withDiscardingTaskGroup { group in
                while !Task.isCancelled {
                    let (asking, next) = watch.look()
                    for name in asking { group.addTask { await ask(name, client) } }
                    // Not at once where the moment has passed and no job could be let go.
                    _ = await wheel.wait(
                        at: watch.looks, atMost: next.map { max($0 - .now, Self.shortestPause) })
                }
                group.cancelAll()
            }
        }
        try await client.shutdown()
    }

    private func ask(_ name: String, _ client: HTTPClient) async {
        guard let model = watch.model(name) else { return }
        let health = model.health.isEmpty ? await connection(to: model) : await health(of: model, client)
        // A reload may have changed the path meanwhile.
        guard !Task.isCancelled, watch.model(name)?.health == model.health else { return }
        watch.note(health, of: name)
    }

    private func connection(to model: ModelSettings) async -> Availability.Health {
        guard let refusal = await server.reach(model, keeps: false) else { return .good }
        return .bad(refusal.failure.message)
    }

    private func health(of model: ModelSettings, _ client: HTTPClient) async -> Availability.Health {
        var request = ClientRequest(.GET, Self.address(of: model.url, path: model.health))
        request.ca = model.ca
        for header in model.headers { request.headers.add(name: header.name, value: header.value) }
        do {
            let answer = try await client.send(request, within: Self.timeout)
            var byteCount = 0
            try await answer.read { piece in
                byteCount += piece.readableBytes
                return byteCount <= Self.answerLimit
            }
            guard !(200..<300).contains(answer.status) else { return .good }
            let reason = "its health path answers with status \(answer.status)"
            return answer.status == 503 ? .loading(reason) : .bad(reason)
        } catch HTTPClientError.timedOut {
            return .bad("its health path did not answer within \(DurationText.format(Self.timeout))")
        } catch {
            return .bad("its health path cannot be reached")
        }
    }

    /// The path on the server that `url` names: `http://host:1/predict?x` and `/health` give `http://host:1/health`.
    static func address(of url: String, path: String) -> String {
        guard let scheme = url.firstRange(of: "://") else { return url }
        let end = url[scheme.upperBound...].firstIndex { "/?#".contains($0) } ?? url.endIndex
        return url[..<end] + path
    }
}
