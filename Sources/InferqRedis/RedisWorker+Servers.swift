package import InferqCore
package import InferqQueue
import Logging
import Synchronization

/// A model server that is away: this worker takes no jobs of its model, and tells its gateways so.
extension RedisWorker: ServerWatch {
    package var looks: Bell { servers.looks }

    package func look() -> (asking: [String], next: Availability.Instant?) { servers.look() }

    package func note(_ health: Availability.Health, of model: String) {
        if servers.note(health, of: model) { serversChanged() }
    }

    package func model(_ name: String) -> ModelSettings? { models.first { $0.name == name } }

    /// What a call has come to, once it is known whether its server is there.
    func judged(_ ending: Ending, of delivery: Delivery, isStopped: Bool) async -> Ending {
        let (job, model) = (delivery.offer.job.key, delivery.offer.model)
        guard !isStopped else { return ending }
        guard case .reply(var reply) = ending else {
            if servers.answered(job, of: model) { serversChanged() }
            return ending
        }
        if case .failed(let failure, let retryAfter, _) = reply, failure.code == .httpError,
            await !servers.isWell(model)
        {
            reply = .refused(Refusal(.notReady, failure, retryAfter: retryAfter))
        }
        let judged = servers.judge(reply, of: job, model)
        if judged.isChanged { serversChanged() }
        return .reply(judged.reply)
    }

    /// Tells the gateway that the model server works on a probe, once it has had the call for a while.
    func show(_ delivery: Delivery, _ sent: Bell?) async {
        guard let sent, await wheel.isWorkedOn(sent) else { return }
        if servers.accepted(delivery.offer.job.key, of: delivery.offer.model) { serversChanged() }
        send(.shown, delivery.name)
    }

    /// The next heartbeat says so at once, and gateways are asked to read it.
    private func serversChanged() {
        state.withLock { $0.hasNews = true }
        condition.wake()
        bell.ring(.event)
    }
}
