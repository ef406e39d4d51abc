import InferqCore
import InferqStore
import Logging

/// Stores how attempts ended, wherever they ran: on a full disk again and again, until there is room or the service
/// must go.
struct OutcomeWriter: Sendable {
    private let queue: JobQueue
    private let wheel: TimerWheel
    private let throttle = LogThrottle()

    init(queue: JobQueue, wheel: TimerWheel) {
        self.queue = queue
        self.wheel = wheel
    }

    /// - Parameter log: of the attempt; it is told why an outcome waits, or is not stored.
    /// - Returns: nil when the outcome is not stored. Then the job stays RUNNING until its worker, or the next start,
    ///   ends the attempt.
    func store<Value: Sendable>(
        _ log: Logger, _ change: @Sendable () async throws -> Value
    ) async -> Value? {
        while true {
            do {
                return try await change()
            } catch StoreError.full where !Task.isCancelled && !queue.running.isInterrupting {
                throttle.log(log, .error, "the disk is full: the outcome of an attempt waits to be stored")
                await wheel.pause(for: .seconds(1))
            } catch {
                throttle.log(
                    log, .error, "the outcome of an attempt could not be stored", metadata: ["error": "\(error)"]
                )
                return nil
            }
        }
    }
}
