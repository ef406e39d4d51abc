import InferqCore

/// Batches that were made since the start, for the one who runs them.
final class BatchArrivals: Sendable {
    let stream: AsyncStream<UUIDv7>
    private let continuation: AsyncStream<UUIDv7>.Continuation

    init() {
        (stream, continuation) = AsyncStream.makeStream()
    }

    let metrics = BatchMetrics()

    func add(_ batch: UUIDv7) {
        continuation.yield(batch)
    }
}
