import InferqCore
import InferqQueue
import InferqStore

extension Case {
    /// A job offered by the scheduler and taken by a slot.
    static let ring = Case("ring: an offer and its take", times: 20_000) { _, measure in
        let broker = RingBroker(capacity: 64)
        let offer = Offer(model: "m", job: JobKey(value: 4096))
        try await measure { times in
            for _ in 0..<times {
                guard broker.offer(offer), await broker.take("m") == offer else { throw Unexpected() }
            }
        }
    }
}

/// What a case did is not what it is there to measure.
struct Unexpected: Error {}
