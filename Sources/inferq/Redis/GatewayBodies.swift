import AsyncHTTPClient
import InferqCore
import InferqHTTP
import InferqRedis
import Logging
import NIOCore
import NIOHTTP1

/// The worker's way to bodies that are too large for Redis: it fetches inputs from the gateway that has the job, and hands
/// answers in there.
struct GatewayBodies: Sendable {
    let http: HTTPClient
    let wheel: TimerWheel
    let logger: Logger

    /// A whole body, however large, comes within this time, or the attempt fails and is repeated.
    private static let fetchTime = TimeAmount.minutes(5)
    /// Between two tries to hand an answer in: a gateway that restarts is back within seconds.
    private static let pause = Duration.seconds(1)

    /// Makes one attempt: with the body that the offer carries or names, and its answer brought to where it belongs.
    func attempt(
        _ offer: JobOffer, _ model: ModelSettings, _ stop: StopSignal, _ server: ModelServer
    ) async -> RedisWorker.Ending {
        let body: [UInt8]
        do {
            if let carried = offer.body { body = carried } else { body = try await fetch(offer) }
        } catch {
            let reason = "the input could not be fetched from the gateway (\(ConnectionFailure(error).reason))"
            return .reply(.failed(Failure(.connectFailed, reason, isRetryable: true), retryAfter: nil))
        }
        let attempt = Attempt(
            job: offer.job, eventID: offer.eventID, number: offer.attempt, body: body, contentType: offer.contentType,
            traceparent: offer.traceparent, timeout: offer.timeout, gatewayURL: offer.gatewayURL, token: offer.token,
            stop: stop
        )
        let reply = await server.answer(to: attempt, model)
        guard case .answered(let bytes, let contentType) = reply, bytes.count > Payload.inlineLimit else {
            return .reply(reply)
        }
        return await handIn(bytes, contentType, offer, stop)
    }

    private func fetch(_ offer: JobOffer) async throws -> [UInt8] {
        var request = HTTPClientRequest(url: "\(offer.gatewayURL)/v1/inference/\(offer.job)/input")
        request.headers.add(name: "X-Notify-Token", value: offer.token)
        let response = try await http.execute(request, timeout: Self.fetchTime)
        guard response.status == .ok else { throw Refused(status: Int(response.status.code)) }
        let body = try await response.body.collect(upTo: offer.byteCount)
        guard body.readableBytes == offer.byteCount else { throw Refused(status: Int(response.status.code)) }
        return Array(body.readableBytesView)
    }

    /// Until the gateway has it, or says that the attempt is over.
    private func handIn(
        _ bytes: [UInt8], _ contentType: String?, _ offer: JobOffer, _ stop: StopSignal
    ) async -> RedisWorker.Ending {
        while stop.reason == nil {
            var request = HTTPClientRequest(url: "\(offer.gatewayURL)/v1/inference/\(offer.job)/output")
            request.method = .PUT
            request.headers.add(name: "X-Notify-Token", value: offer.token)
            if let contentType { request.headers.add(name: "Content-Type", value: contentType) }
            request.body = .bytes(bytes)
            var reason: String
            do {
                let response = try await http.execute(request, timeout: Self.fetchTime)
                _ = try await response.body.collect(upTo: 1 << 20)
                switch response.status.code {
                case 204, 403, 404, 409, 410: return .delivered
                case 413:
                    let failure = Failure(
                        .tooLarge, "the model server's answer is larger than the gateway takes", isRetryable: false)
                    return .reply(.failed(failure, retryAfter: nil))
                default: reason = "it answered \(response.status.code)"
                }
            } catch {
                reason = ConnectionFailure(error).reason
            }
            logger.warning(
                "an answer could not be handed in, trying again",
                metadata: ["job_id": "\(offer.job)", "gateway": "\(offer.gatewayURL)", "reason": "\(reason)"]
            )
            let bell = Bell()
            let deadline = wheel.ring(bell, after: Self.pause)
            stop.whenStopped { bell.ring(.stop) }
            _ = await bell.wait()
            stop.whenStopped(nil)
            wheel.cancel(deadline)
        }
        return .delivered
    }

    private struct Refused: Error, CustomStringConvertible {
        let status: Int
        var description: String { "it answered \(status)" }
    }
}
